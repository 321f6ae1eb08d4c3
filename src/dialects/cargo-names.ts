// Names and versions of crates, and where a crate's index file stands:
// <https://doc.rust-lang.org/cargo/reference/registry-index.html>.

/** What every registry accepts at most: ASCII letters, digits, `-` and `_`, no digit or hyphen first, 64 characters. */
const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/

/** <https://semver.org>, as cargo demands it of a version. */
const VERSION =
  /^(?:(?:0|[1-9][0-9]*)\.){2}(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/
const VERSION_SIZE = 128

export function isName(text: string): boolean {
  return NAME.test(text)
}

export function isVersion(text: string): boolean {
  return text.length <= VERSION_SIZE && VERSION.test(text)
}

/**
 * The form in which crates are compared: registries take `Acme_Tool`, `acme_tool` and `acme-tool` for one crate, and
 * refuse a second one. Patterns go through it, too: it leaves `*` alone.
 */
export function normalise(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

/** `serde` → `se/rd/serde`; in lower case, as cargo asks for it */
export function indexPath(name: string): string {
  const lower = name.toLowerCase()
  switch (lower.length) {
    case 1:
    case 2:
      return `${lower.length}/${lower}`
    case 3:
      return `3/${lower.charAt(0)}/${lower}`
    default:
      return `${lower.slice(0, 2)}/${lower.slice(2, 4)}/${lower}`
  }
}
