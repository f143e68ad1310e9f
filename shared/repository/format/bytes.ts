// Small framings that several objects share. All integers are little-endian unless a table says otherwise.

/** A view of the same memory, which offers Buffer's methods without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A JSON head and binary parts: `u32 length, bytes` for each, the head first. */
export function encodeParts(head: object, parts: readonly Uint8Array[]): Buffer {
  const pieces: Uint8Array[] = []
  for (const part of [Buffer.from(JSON.stringify(head), 'utf8'), ...parts]) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(part.length)
    pieces.push(length, part)
  }
  return Buffer.concat(pieces)
}

/** The inverse of encodeParts. RangeError or SyntaxError: encodeParts did not make these bytes. */
export function decodeParts(bytes: Uint8Array): { head: unknown; parts: Buffer[] } {
  const all = asBuffer(bytes)
  const pieces: Buffer[] = []
  for (let at = 0; at < all.length; ) {
    const end = at + 4 + all.readUInt32LE(at)
    if (end > all.length) throw new RangeError(`part of ${end - at - 4} bytes at ${at} passes the end at ${all.length}`)
    pieces.push(all.subarray(at + 4, end))
    at = end
  }
  const [head, ...parts] = pieces
  if (head === undefined) throw new RangeError('no head')
  return { head: JSON.parse(head.toString('utf8')), parts }
}

/** undefined: the bytes are not JSON, or not an object. The values are of any type and nested at any depth: anybody may have written them. */
export function jsonObjectIn(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(asBuffer(bytes).toString('utf8'))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** The part at `index`; RangeError when the object has fewer. */
export function partAt(parts: readonly Buffer[], index: number): Buffer {
  const part = parts[index]
  if (part === undefined) throw new RangeError(`part ${index} is missing`)
  return part
}
