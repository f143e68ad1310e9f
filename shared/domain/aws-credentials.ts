// The AWS credentials file, as Velero's Secrets hold it: profiles in INI form. Messages name lines and keys, never values.
// Form: AWS SDKs and Tools Reference Guide, "Format of the shared config and credentials files".

import { TerminalError } from '#shared/kernel/errors.ts'

export type AwsCredentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string }

type Profile = Map<string, string>

/** Ways to get credentials that name no key; they need files and processes of the machine that wrote them. */
const INDIRECT = [
  'role_arn',
  'credential_process',
  'source_profile',
  'sso_session',
  'sso_start_url',
  'web_identity_token_file',
]

/** The credentials of one profile. TerminalError `CredentialsInvalid`; `origin` says in its message where the text came from. */
export function chooseCredentials(text: string, profileName: string, origin: string): AwsCredentials {
  const profiles = parseProfiles(text, origin)
  const profile = profiles.get(profileName)
  if (profile === undefined) throw invalid(origin, `it has no profile [${profileName}], only ${listed(profiles)}`)
  const sessionToken = profile.get('aws_session_token') ?? profile.get('aws_security_token')
  return {
    accessKeyId: needed(profile, 'aws_access_key_id', profileName, origin),
    secretAccessKey: needed(profile, 'aws_secret_access_key', profileName, origin),
    ...(sessionToken === undefined ? {} : { sessionToken }),
  }
}

/** Names of the profiles in the file, in their order. */
export function profileNames(text: string, origin: string): string[] {
  return [...parseProfiles(text, origin).keys()]
}

function parseProfiles(text: string, origin: string): Map<string, Profile> {
  const profiles = new Map<string, Profile>()
  let current: Profile | undefined
  let nested = false
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\r|\n/)
    .entries()) {
    const line = withoutComment(raw)
    if (line === '') continue
    const header = /^\[(.*)\]$/.exec(line)
    if (header !== null) {
      const name = profileName(header[1] ?? '')
      current = profiles.get(name) ?? new Map()
      profiles.set(name, current)
      nested = false
      continue
    }
    // `s3 =` opens a nested block: its indented lines belong to it and are none of ours.
    if (nested && /^\s/.test(raw)) continue
    const equals = line.indexOf('=')
    if (current === undefined || equals < 1) throw invalid(origin, whyLineIsWrong(index + 1, current === undefined))
    const value = unquoted(line.slice(equals + 1).trim())
    nested = value === ''
    if (!nested) current.set(line.slice(0, equals).trim().toLowerCase(), value)
  }
  if (profiles.size === 0) throw invalid(origin, 'it is empty')
  return profiles
}

/** A comment begins with # or ; at the line's start or after white space; inside of a word both are ordinary. */
function withoutComment(line: string): string {
  const comment = /(?:^|\s)[#;]/.exec(line)
  return (comment === null ? line : line.slice(0, comment.index)).trim()
}

function profileName(header: string): string {
  return unquoted(header.trim().replace(/^profile\s+/, ''))
}

function unquoted(value: string): string {
  const match = /^(["'])(.*)\1$/.exec(value)
  return match?.[2] ?? value
}

function whyLineIsWrong(lineNumber: number, beforeAnyProfile: boolean): string {
  if (!beforeAnyProfile) return `line ${lineNumber} is neither a [profile] nor key = value`
  return `line ${lineNumber} stands before any [profile]; is the text encoded in base64 once too often?`
}

function needed(profile: Profile, key: string, profileName: string, origin: string): string {
  const value = profile.get(key)
  if (value !== undefined) return value
  const indirect = INDIRECT.find((name) => profile.has(name))
  const why = indirect === undefined ? '' : `; ${indirect} cannot be followed here, give the keys themselves`
  throw invalid(origin, `profile [${profileName}] has no ${key}${why}`)
}

function listed(profiles: Map<string, Profile>): string {
  return [...profiles.keys()].map((name) => `[${name}]`).join(', ')
}

function invalid(origin: string, why: string): TerminalError {
  return new TerminalError('CredentialsInvalid', `the AWS credentials in ${origin} cannot be used: ${why}`)
}
