// The four wire types of protocol buffers, enough for Kubernetes' own messages, driven by a field table.
// Source: protobuf encoding guide (varint 0, 64-bit 1, length-delimited 2, 32-bit 5).

import { TerminalError } from '#shared/kernel/errors.ts'

type FieldType = 'string' | 'int64' | 'bool' | { message: MessageType } | { map: 'string' | { message: MessageType } }

/** Field number -> name and type; `repeated` collects an array. Unknown fields are skipped on reading. */
export type MessageType = Record<number, { name: string; type: FieldType; repeated?: true; keepEmpty?: true }>
export type MessageValue = { [name: string]: unknown }

export function encodeMessage(type: MessageType, value: MessageValue): Uint8Array {
  const parts: Uint8Array[] = []
  for (const [number, field] of Object.entries(type)) {
    const given = value[field.name]
    if (given === undefined || given === null) {
      if (field.keepEmpty === true) parts.push(...encodeField(Number(number), field.type, emptyOf(field.type)))
      continue
    }
    const items = field.repeated === true ? (given as unknown[]) : [given]
    for (const item of items) parts.push(...encodeField(Number(number), field.type, item))
  }
  return Buffer.concat(parts)
}

export function decodeMessage(type: MessageType, bytes: Uint8Array): MessageValue {
  const reader = { bytes, at: 0 }
  const value: MessageValue = {}
  while (reader.at < bytes.length) {
    const key = readVarint(reader)
    const number = Number(key >> 3n)
    const raw = readRaw(reader, Number(key & 7n))
    const field = type[number]
    if (field !== undefined) assign(value, field, raw)
  }
  return value
}

type Raw = bigint | Uint8Array
type Reader = { bytes: Uint8Array; at: number }

function encodeField(number: number, type: FieldType, value: unknown): Uint8Array[] {
  if (type === 'string') return delimited(number, Buffer.from(String(value), 'utf8'))
  if (type === 'int64')
    return [varint((BigInt(number) << 3n) | 0n), varint(BigInt.asUintN(64, BigInt(value as number)))]
  if (type === 'bool') return [varint((BigInt(number) << 3n) | 0n), varint(value === true ? 1n : 0n)]
  if ('message' in type) return delimited(number, encodeMessage(type.message, value as MessageValue))
  return Object.entries(value as Record<string, unknown>)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([key, entry]) => delimited(number, encodeMessage(entryType(type.map), { key, value: entry })))
}

function emptyOf(type: FieldType): unknown {
  if (type === 'string') return ''
  if (type === 'int64') return 0
  if (type === 'bool') return false
  return {}
}

function entryType(value: 'string' | { message: MessageType }): MessageType {
  return { 1: { name: 'key', type: 'string' }, 2: { name: 'value', type: value } }
}

function assign(value: MessageValue, field: MessageType[number], raw: Raw): void {
  if (typeof field.type === 'object' && 'map' in field.type) {
    const entry = decodeMessage(entryType(field.type.map), asBytes(raw))
    const map = (value[field.name] ?? {}) as Record<string, unknown>
    map[String(entry['key'] ?? '')] = entry['value'] ?? (field.type.map === 'string' ? '' : {})
    value[field.name] = map
    return
  }
  const decoded = decodeValue(field.type, raw)
  if (field.repeated !== true) value[field.name] = decoded
  else value[field.name] = [...((value[field.name] as unknown[] | undefined) ?? []), decoded]
}

function decodeValue(type: Exclude<FieldType, { map: unknown }>, raw: Raw): unknown {
  if (type === 'string') return Buffer.from(asBytes(raw)).toString('utf8')
  if (type === 'int64') return Number(BigInt.asIntN(64, asVarint(raw)))
  if (type === 'bool') return asVarint(raw) !== 0n
  return decodeMessage(type.message, asBytes(raw))
}

function asBytes(raw: Raw): Uint8Array {
  if (typeof raw === 'bigint') throw malformed('a number stands where bytes belong')
  return raw
}

function asVarint(raw: Raw): bigint {
  if (typeof raw !== 'bigint') throw malformed('bytes stand where a number belongs')
  return raw
}

function readRaw(reader: Reader, wireType: number): Raw {
  if (wireType === 0) return readVarint(reader)
  if (wireType === 2) return take(reader, Number(readVarint(reader)))
  if (wireType === 1) return take(reader, 8)
  if (wireType === 5) return take(reader, 4)
  throw malformed(`wire type ${wireType} is unknown`)
}

function take(reader: Reader, count: number): Uint8Array {
  if (count > reader.bytes.length - reader.at) throw malformed('it ends in the middle of a field')
  reader.at += count
  return reader.bytes.subarray(reader.at - count, reader.at)
}

function readVarint(reader: Reader): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.bytes[reader.at++]
    if (byte === undefined) throw malformed('it ends in the middle of a number')
    value |= BigInt(byte & 0x7f) << shift
    if ((byte & 0x80) === 0) return value
  }
  throw malformed('a number is longer than 64 bits')
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = []
  let rest = value
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest === 0n ? low : low | 0x80)
  } while (rest !== 0n)
  return Uint8Array.from(bytes)
}

function delimited(number: number, body: Uint8Array): Uint8Array[] {
  return [varint((BigInt(number) << 3n) | 2n), varint(BigInt(body.length)), body]
}

function malformed(why: string): TerminalError {
  return new TerminalError('MetadataInvalid', `the stored metadata is no protocol buffer message: ${why}`)
}
