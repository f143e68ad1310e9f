// Just enough DER (ITU-T X.690) to write an X.509 certificate: the environment must not need an openssl program.

export function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, ...lengthBytes(body.length)]), body])
}

export const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts)
export const set = (...parts: Uint8Array[]) => der(0x31, ...parts)
export const octets = (body: Uint8Array) => der(0x04, body)
export const bits = (body: Uint8Array) => der(0x03, Buffer.from([0]), body)
export const utf8 = (text: string) => der(0x0c, Buffer.from(text))
export const yes = () => der(0x01, Buffer.from([0xff]))
export const explicit = (number: number, body: Uint8Array) => der(0xa0 + number, body)

/** Context-specific primitive, as the choices of GeneralName are. */
export const choice = (number: number, body: Uint8Array) => der(0x80 + number, body)

/** A positive number in big-endian bytes. */
export function integer(body: Uint8Array): Buffer {
  return der(0x02, body[0]! >= 0x80 ? Buffer.concat([Buffer.from([0]), body]) : body)
}

/** RFC 5280 wants this form for every time before 2050. */
export function utcTime(epochMs: number): Buffer {
  const digits = new Date(epochMs).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)
  return der(0x17, Buffer.from(`${digits}Z`))
}

/** `1.2.840…`: the first two numbers share a byte, the others are base 128 with a continuation bit. */
export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return der(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f]
  for (let left = value >>> 7; left > 0; left >>>= 7) bytes.unshift((left & 0x7f) | 0x80)
  return bytes
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length]
  const bytes: number[] = []
  for (let left = length; left > 0; left >>>= 8) bytes.unshift(left & 0xff)
  return [0x80 | bytes.length, ...bytes]
}
