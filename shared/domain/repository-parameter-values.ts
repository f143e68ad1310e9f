// Reads single values of `repopsitoryParameters`. A TerminalError `RepositoryParametersInvalid` names the key and what to write.

import { TerminalError } from '#shared/kernel/errors.ts'

export type Parameters = Record<string, string | undefined>

/**
 * One value of a Secret in the Velero namespace. Without a key: `cloud` if it exists, else the first (as the Velero Plugin for vSphere
 * reads it).
 */
export type SecretRef = { name: string; key: string | undefined }

/** Far above any real value (ten tags of full length), and far below what takes time to process. */
export const MAX_VALUE_CHARS = 4096
/** Enough for a full list of public authorities in PEM form. */
export const MAX_CA_CHARS = 512 * 1024
const MAX_PARAMETERS = 64
const MAX_NAME_CHARS = 253

/** Called once, before anything else reads a value: checks the lengths, and that all values are texts. */
export function requireBounded(parameters: Parameters): void {
  const entries = Object.entries(parameters)
  if (entries.length > MAX_PARAMETERS) throw invalid('(all)', `there are ${entries.length}: at most ${MAX_PARAMETERS}`)
  for (const [key, value] of entries) {
    if (key.length > MAX_NAME_CHARS)
      throw invalid(key.slice(0, 80), `it has a name of ${key.length} characters: remove it`)
    if (value === undefined || value === null) continue
    if (typeof value !== 'string') throw invalid(key, 'it is no text: write it in quotes')
    const maxChars = key === 'caCert' ? MAX_CA_CHARS : MAX_VALUE_CHARS
    if (value.length > maxChars) throw invalid(key, `it has ${value.length} characters: at most ${maxChars} are taken`)
  }
}

export function booleanOf(parameters: Parameters, key: string): boolean {
  const text = read(parameters, key)
  if (text === undefined || /^(0|f|false)$/i.test(text)) return false
  if (/^(1|t|true)$/i.test(text)) return true
  throw invalid(key, `${quoted(text)} is no truth value: write "true" or "false"`)
}

/** `<secret>/<key>`, as velero-plugin-for-aws writes such references. */
export function refOf(parameters: Parameters, key: string): SecretRef | undefined {
  const text = read(parameters, key)
  if (text === undefined) return undefined
  const match = /^([a-z0-9][a-z0-9.-]*)\/([\w.-]+)$/.exec(text)
  if (match?.[1] === undefined || match[2] === undefined)
    throw invalid(key, 'it is no reference: write <name of the Secret>/<key in it>')
  return { name: match[1], key: match[2] }
}

/** PEM, or PEM in base64 (a location holds it as bytes). */
export function decodeCaCert(text: string): string {
  const marker = '-----BEGIN CERTIFICATE-----'
  if (text.includes(marker)) return text
  const decoded = Buffer.from(text, 'base64').toString('utf8')
  if (decoded.includes(marker)) return decoded
  throw invalid('caCert', 'it holds no certificate: give the CA bundle in PEM form (BEGIN CERTIFICATE)')
}

export function read(parameters: Parameters, key: string): string | undefined {
  const value = parameters[key]?.trim()
  return isSet(value) ? value : undefined
}

export function isSet(value: unknown): value is string {
  return value !== undefined && value !== null && value !== ''
}

/** A loop, because a regular expression would try each run of slashes from each of its positions. */
export function trimSlashes(path: string): string {
  let start = 0
  while (path[start] === '/') start++
  return withoutSlashes(path.slice(start))
}

export function withoutSlashes(path: string): string {
  let end = path.length
  while (path[end - 1] === '/') end--
  return path.slice(0, end)
}

/** For messages: a long value is cut. */
export function quoted(text: unknown): string {
  return JSON.stringify(String(text).slice(0, 120))
}

export function invalid(key: string, why: string): TerminalError {
  return new TerminalError('RepositoryParametersInvalid', `repository parameter ${key}: ${why}`)
}
