// A small image as an OCI image layout (image-spec, "image-layout"), made by hand: one layer with one file.

import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

export interface Image {
  /** `sha256:…` */
  readonly manifest: string
  readonly config: string
  readonly layer: string
  readonly manifestBytes: Buffer
  readonly layerBytes: Buffer
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

const TYPES = 'application/vnd.oci.image'

/** @param folder made when it is missing; its image has the tag `latest` */
export async function writeImage(folder: string, content: Buffer): Promise<Image> {
  const blobs = join(folder, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })

  async function addBlob(mediaType: string, bytes: Buffer): Promise<Descriptor> {
    const digest = digestOf(bytes)
    await writeFile(join(blobs, digest.replace('sha256:', '')), bytes)
    return { mediaType, digest, size: bytes.length }
  }

  const tar = tarOf('content', content)
  const layerBytes = gzipSync(tar, { level: 1 })
  const layer = await addBlob(`${TYPES}.layer.v1.tar+gzip`, layerBytes)
  const rootfs = { type: 'layers', diff_ids: [digestOf(tar)] }
  const config = await addBlob(
    `${TYPES}.config.v1+json`,
    Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs })),
  )
  const mediaType = `${TYPES}.manifest.v1+json`
  const manifestBytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] }))
  const manifest = await addBlob(mediaType, manifestBytes)
  const tagged = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [tagged] }))
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  return { manifest: manifest.digest, config: config.digest, layer: layer.digest, manifestBytes, layerBytes }
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** One file as POSIX ustar. */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512)
  const octal = (value: number, width: number): string => value.toString(8).padStart(width - 1, '0')
  header.write(name, 0)
  header.write(octal(0o644, 8), 100)
  header.write(octal(0, 8), 108)
  header.write(octal(0, 8), 116)
  header.write(octal(content.length, 12), 124)
  header.write(octal(0, 12), 136)
  header.write(' '.repeat(8), 148)
  header.write('0', 156)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${octal(sum, 7)}\0 `, 148)
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512)
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)])
}
