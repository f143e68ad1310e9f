// One log line in go-plugin's format: a JSON object of strings. A number as @message or @level would end the Velero server,
// and go-plugin would split a line longer than 64 KiB.

import { KiB } from '#shared/kernel/units.ts'

export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]

type Said = {
  level: Level
  message: unknown
  fields: Record<string, unknown>
  /** `file:line` of the statement; empty: unknown. */
  source: string
  nowMs: number
}

/** A line has at most 64 KiB with its newline: these two budgets leave 4 KiB for the keys that every line has. */
const MESSAGE_BYTES = 32 * KiB
const FIELDS_BYTES = 28 * KiB
const NAME_BYTES = 256
const SOURCE_BYTES = KiB
/** Quotation marks, colon and comma of a field. */
const PUNCTUATION_BYTES = 6

/** Velero drops the first three; the others, and all keys that begin with @, have a meaning of their own. */
const RESERVED = new Set(['time', 'timestamp', 'level', 'logSource', 'fieldsCut'])

export function logLine({ level, message, fields, source, nowMs }: Said): string {
  return JSON.stringify(
    Object.fromEntries([
      ...fieldsThatFit(fields),
      ['@level', level],
      ['@message', fitting(textOf(message), MESSAGE_BYTES)],
      ['@timestamp', timestamp(nowMs)],
      ['logSource', fitting(source, SOURCE_BYTES)],
      // Without this mark Velero overwrites the source with its own.
      ['@logSourceSetBy', 'plugin'],
    ]),
  )
}

/** go-hclog's format: six digits of fraction. */
function timestamp(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z')
}

function fieldsThatFit(fields: Record<string, unknown>): [string, string][] {
  const all = entriesOf(fields)
  const taken: [string, string][] = []
  let leftBytes = FIELDS_BYTES
  for (const [key, value] of all) {
    const name = fieldName(fitting(key, NAME_BYTES))
    const text = fitting(textOf(value), leftBytes - jsonBytes(name) - PUNCTUATION_BYTES)
    const bytes = jsonBytes(name) + jsonBytes(text) + PUNCTUATION_BYTES
    if (bytes > leftBytes) return [...taken, ['fieldsCut', String(all.length - taken.length)]]
    taken.push([name, text])
    leftBytes -= bytes
  }
  return taken
}

function fieldName(name: string): string {
  return name.startsWith('@') || RESERVED.has(name) ? `_${name}` : name
}

/** Reading a field may call a getter, which may throw. */
function entriesOf(fields: Record<string, unknown>): [string, unknown][] {
  return Object.keys(fields).map((key) => [key, attempt(() => fields[key])])
}

/** Any value as text: an error with its stack, an object as JSON if it can be serialized. */
export function textOf(value: unknown): string {
  return attempt(() => {
    if (typeof value === 'string') return value
    if (value instanceof Error) return errorText(value)
    return typeof value === 'object' && value !== null ? (JSON.stringify(value) ?? String(value)) : String(value)
  })
}

function errorText(error: Error): string {
  const own = String(error.stack ?? error.message)
  return error.cause === undefined ? own : `${own}\ncaused by: ${textOf(error.cause)}`
}

function attempt<T>(read: () => T): T | string {
  try {
    return read()
  } catch {
    return '(cannot be written)'
  }
}

/** `text`, or its beginning and a mark, so that it takes at most `bytes` as JSON without the quotation marks. */
function fitting(text: string, bytes: number): string {
  const whole = text.slice(0, Math.max(0, bytes) + 1).toWellFormed()
  if (whole.length === text.length && jsonBytes(whole) <= bytes) return whole
  const mark = `… (cut, ${text.length} characters)`
  const room = bytes - jsonBytes(mark)
  let used = 0
  let end = 0
  for (const character of whole) {
    used += jsonBytes(character)
    if (used > room) break
    end += character.length
  }
  return `${whole.slice(0, end)}${mark}`
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) - 2
}
