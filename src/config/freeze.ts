// Snapshots are frozen through and through, so that no stage can change what another relies on.

/** Freezes plain objects, arrays and what maps and sets hold. Buffers cannot be frozen, and a URL keeps its own state. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) return value
  Object.freeze(value)
  const inside: Iterable<unknown> = value instanceof Map || value instanceof Set ? value.values() : ownValues(value)
  for (const it of inside) deepFreeze(it)
  return value
}

/** Those that are not enumerable too. */
function ownValues(value: object): unknown[] {
  return Object.values(Object.getOwnPropertyDescriptors(value)).map(descriptor => descriptor.value)
}
