// The crates of the small cargo registry: what is stored, and what the index says of it.

import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { z } from 'zod'

export interface Failure {
  readonly status: number
  readonly detail: string
}

export interface Crates {
  /** @returns the lines of an index file */
  readonly index: (path: string) => string | undefined
  /** @param path `{name}/{version}/download` or `{name}-{version}.crate` */
  readonly download: (path: string) => Buffer | undefined
  readonly search: (text: string, limit: number) => object
  readonly publish: (user: string, body: Buffer) => Failure | undefined
  readonly yank: (user: string, name: string, version: string, yanked: boolean) => Failure | undefined
  readonly owners: (name: string) => readonly string[]
  readonly changeOwners: (user: string, name: string, body: Buffer, add: boolean) => Failure | undefined
}

const dependency = z.object({
  name: z.string(),
  version_req: z.string(),
  features: z.array(z.string()),
  optional: z.boolean(),
  default_features: z.boolean(),
  target: z.string().nullish(),
  kind: z.enum(['normal', 'dev', 'build']),
  registry: z.string().nullish(),
  explicit_name_in_toml: z.string().nullish(),
})
const metadata = z.object({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/),
  vers: z.string().regex(/^[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*$/),
  deps: z.array(dependency),
  features: z.record(z.string(), z.array(z.string())),
  description: z.string().nullish(),
  links: z.string().nullish(),
  rust_version: z.string().nullish(),
})
type Metadata = z.infer<typeof metadata>

interface Version {
  readonly metadata: Metadata
  readonly file: Buffer
  yanked: boolean
}

interface Crate {
  readonly name: string
  readonly versions: Map<string, Version>
  readonly owners: Set<string>
}

export function createCrates(): Crates {
  const crates = new Map<string, Crate>()

  function own(user: string, name: string): Crate | Failure {
    const crate = crates.get(canonical(name))
    if (crate?.name !== name) return { status: 404, detail: `crate ${name} does not exist` }
    return crate.owners.has(user) ? crate : { status: 403, detail: `${user} is no owner of ${name}` }
  }

  return {
    index(path) {
      const crate = crates.get(canonical(path.slice(path.lastIndexOf('/') + 1)))
      if (crate === undefined || path !== placeOf(crate.name)) return undefined
      return [...crate.versions.values()].map(version => `${JSON.stringify(lineOf(version))}\n`).join('')
    },
    download(path) {
      const [, name = '', version = ''] =
        /^([^/]+)\/([^/]+)\/download$/.exec(path) ?? /^([^/.]+)-([0-9]+\..*)\.crate$/.exec(path) ?? []
      const crate = crates.get(canonical(name))
      return crate?.name === name ? crate.versions.get(version)?.file : undefined
    },
    search(text, limit) {
      const found = [...crates.values()].filter(({ name }) => name.includes(text))
      return { crates: found.slice(0, limit).map(describe), meta: { total: found.length } }
    },
    publish(user, body) {
      const read = readBody(body)
      if ('detail' in read) return read
      const { name, vers } = read.metadata
      const crate = crates.get(canonical(name)) ?? { name, versions: new Map(), owners: new Set([user]) }
      if (crate.name !== name) return { status: 409, detail: `the name is too near to ${crate.name}` }
      if (!crate.owners.has(user)) return { status: 403, detail: `${user} is no owner of ${name}` }
      if (crate.versions.has(vers)) return { status: 409, detail: `${name} ${vers} is already there` }
      crate.versions.set(vers, { ...read, yanked: false })
      crates.set(canonical(name), crate)
      return undefined
    },
    yank(user, name, vers, yanked) {
      const crate = own(user, name)
      if ('detail' in crate) return crate
      const version = crate.versions.get(vers)
      if (version === undefined) return { status: 404, detail: `${name} has no version ${vers}` }
      version.yanked = yanked
      return undefined
    },
    owners: name => [...(crates.get(canonical(name))?.owners ?? [])],
    changeOwners(user, name, body, add) {
      const crate = own(user, name)
      if ('detail' in crate) return crate
      const { users } = z.object({ users: z.array(z.string()) }).parse(JSON.parse(body.toString('utf8')))
      for (const login of users)
        if (add) crate.owners.add(login)
        else crate.owners.delete(login)
      return undefined
    },
  }
}

function canonical(name: string): string {
  return name.toLowerCase().replaceAll('-', '_')
}

/** <https://doc.rust-lang.org/cargo/reference/registry-index.html#index-files> */
function placeOf(name: string): string {
  const lower = name.toLowerCase()
  if (lower.length < 3) return `${lower.length}/${lower}`
  return lower.length === 3 ? `3/${lower[0]}/${lower}` : `${lower.slice(0, 2)}/${lower.slice(2, 4)}/${lower}`
}

function describe({ name, versions }: Crate): object {
  const last = [...versions.values()].at(-1)
  return { name, max_version: last?.metadata.vers, description: last?.metadata.description ?? '' }
}

function lineOf({ metadata: { name, vers, deps, features, links, rust_version }, file, yanked }: Version): object {
  return {
    name,
    vers,
    deps: deps.map(({ version_req: req, explicit_name_in_toml: alias, name: crate, ...rest }) => ({
      ...rest,
      req,
      name: alias ?? crate,
      ...(alias ? { package: crate } : {}),
    })),
    cksum: createHash('sha256').update(file).digest('hex'),
    features,
    yanked,
    links: links ?? null,
    rust_version: rust_version ?? null,
    v: 2,
  }
}

interface Upload {
  readonly metadata: Metadata
  readonly file: Buffer
}

function readBody(body: Buffer): Upload | Failure {
  const bad = (detail: string): Failure => ({ status: 400, detail })
  if (body.length < 8) return bad('the body is too short')
  const split = 4 + body.readUInt32LE(0)
  if (body.length < split + 4) return bad('the metadata is cut')
  const parsed = metadata.safeParse(JSON.parse(body.toString('utf8', 4, split)))
  if (!parsed.success) return bad(`the metadata is wrong: ${parsed.error.message}`)
  const file = body.subarray(split + 4)
  if (file.length !== body.readUInt32LE(split)) return bad('the crate has another length than it says')
  const { name, vers } = parsed.data
  const first = gunzipSync(file).toString('latin1', 0, 100)
  if (!first.startsWith(`${name}-${vers}/`)) return bad('the crate holds another one')
  return { metadata: parsed.data, file }
}
