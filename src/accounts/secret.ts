// A value that must never be printed. Whatever shows an object (console, JSON, a template, an error) shows `[secret]`
// instead (R14).

import { inspect } from 'node:util'

const HIDDEN = '[secret]'

/** A class because only a private field keeps the value out of `inspect`, spread and JSON alike. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself. Called only where the upstream request is written. */
  open(): string {
    return this.#value
  }

  toString(): string {
    return HIDDEN
  }

  toJSON(): string {
    return HIDDEN
  }

  [inspect.custom](): string {
    return HIDDEN
  }
}
