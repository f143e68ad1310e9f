// Which credentials a profile of an AWS credentials file gives, chosen as aws-sdk-go-v2 chooses them: keys, a role that is assumed with
// keys or with a web identity, or a chain of roles. Messages name profiles and keys of the file, never values.

import { TerminalError } from '#shared/kernel/errors.ts'
import { type Profile, type ReadFile, readProfiles } from './aws-profiles.ts'

export type AwsCredentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string }

/** A role that is assumed at STS, and the credentials to assume it with. */
export type AssumedRole = {
  roleArn: string
  sessionName?: string
  externalId?: string
  durationSeconds?: number
  source: StoreCredentials | { webIdentityTokenFile: string }
}

export type StoreCredentials = AwsCredentials | AssumedRole

export type ChosenProfile = {
  credentials: StoreCredentials
  region: string | undefined
  /** The profile names another address than AWS, which the SDKs would use. */
  hasEndpoint: boolean
  /** For a log: what is unusual in the file, by line number. */
  notes: string[]
}

/** Settings that refer to credentials of the machine that the file was written on, or to the pod's own identity. */
const REFUSED: Record<string, string> = {
  credential_process: 'it would run a program here',
  credential_source: "it would take the pod's own identity",
}
const NEEDS_A_PERSON = ['sso_session', 'sso_start_url', 'login_session', 'mfa_serial']
/** Only the form is checked: STS knows whether the role exists. */
const ROLE_ARN = /^arn:[\x21-\x7e]{1,2000}$/

/** The most profiles in a chain of source_profile: each is a role that is assumed at STS, one after the other. */
const MOST_PROFILES = 10

/** TerminalError `CredentialsInvalid`; `origin` says in its message where the text came from. */
export function chooseProfile(text: string, profileName: string, origin: string): ChosenProfile {
  const file = readProfiles(text)
  if (file.profiles.size === 0) throw invalid(origin, whyEmpty(text))
  const choice = new Choice(file, origin)
  const credentials = choice.credentialsOf(profileName, [])
  const profile = choice.profile(profileName)
  return {
    credentials,
    region: given(profile, 'region'),
    hasEndpoint: profile.has('endpoint_url') || profile.has('services'),
    notes: file.notes,
  }
}

/** The credentials of one profile, for callers that need nothing else from it. */
export function chooseCredentials(text: string, profileName: string, origin: string): StoreCredentials {
  return chooseProfile(text, profileName, origin).credentials
}

/** Names of the profiles in the file, in their order. */
export function profileNames(text: string, origin: string): string[] {
  const { profiles } = readProfiles(text)
  if (profiles.size === 0) throw invalid(origin, whyEmpty(text))
  return [...profiles.keys()]
}

class Choice {
  private readonly file: ReadFile
  private readonly origin: string

  constructor(file: ReadFile, origin: string) {
    this.file = file
    this.origin = origin
  }

  profile(name: string): Profile {
    const profile = this.file.profiles.get(name)
    if (profile !== undefined) return profile
    throw invalid(this.origin, `it has no profile [${name}], only ${listed(this.file)}`)
  }

  /** `through`: the profiles that led here. A profile that names itself, or one of them, gives its keys and no role. */
  credentialsOf(name: string, through: readonly string[]): StoreCredentials {
    if (through.length === MOST_PROFILES)
      throw invalid(this.origin, `profile [${through[0]}] leads through more than ${MOST_PROFILES} by source_profile`)
    const profile = this.profile(name)
    this.refuse(profile, name)
    const keys = this.keysOf(profile, name)
    const roleArn = through.includes(name) ? undefined : given(profile, 'role_arn')
    const source = given(profile, 'source_profile')
    const tokenFile = given(profile, 'web_identity_token_file')
    const isKeysOfAnother = through.length > 0 && keys !== undefined
    if (source !== undefined && !isKeysOfAnother) {
      if (through.includes(name)) throw invalid(this.origin, `profile [${name}] leads to itself by source_profile`)
      if (tokenFile !== undefined) throw this.both(name)
      return this.roleOf(profile, name, roleArn, this.credentialsOf(source, [...through, name]))
    }
    if (keys !== undefined) return roleArn === undefined ? keys : this.roleOf(profile, name, roleArn, keys)
    if (tokenFile !== undefined) return this.roleOf(profile, name, roleArn, { webIdentityTokenFile: tokenFile })
    throw this.without(name, profile)
  }

  private roleOf(
    profile: Profile,
    name: string,
    roleArn: string | undefined,
    source: AssumedRole['source'],
  ): AssumedRole {
    if (roleArn === undefined || !ROLE_ARN.test(roleArn))
      throw invalid(
        this.origin,
        `profile [${name}] has ${roleArn === undefined ? 'no role_arn' : 'a role_arn that is none'}`,
      )
    const [sessionName, externalId] = [given(profile, 'role_session_name'), given(profile, 'external_id')]
    const durationSeconds = Number(given(profile, 'duration_seconds'))
    return {
      roleArn,
      ...(sessionName === undefined ? {} : { sessionName }),
      ...(externalId === undefined ? {} : { externalId }),
      // As in aws-sdk-go-v2: shorter durations, and values that are not numbers, are left to STS.
      ...(Number.isSafeInteger(durationSeconds) && durationSeconds > 15 * 60 + 59 ? { durationSeconds } : {}),
      source,
    }
  }

  private keysOf(profile: Profile, name: string): AwsCredentials | undefined {
    const accessKeyId = given(profile, 'aws_access_key_id')
    const secretAccessKey = given(profile, 'aws_secret_access_key')
    const sessionToken = given(profile, 'aws_session_token') ?? given(profile, 'aws_security_token')
    if (accessKeyId !== undefined && secretAccessKey !== undefined)
      return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
    if (accessKeyId === undefined && secretAccessKey === undefined) return undefined
    const missing = accessKeyId === undefined ? 'aws_access_key_id' : 'aws_secret_access_key'
    throw invalid(this.origin, `profile [${name}] has no ${missing}${this.hint()}`)
  }

  private refuse(profile: Profile, name: string): void {
    const key = Object.keys(REFUSED).find((refused) => profile.has(refused))
    if (key !== undefined)
      throw invalid(
        this.origin,
        `${key} of profile [${name}] is not followed, as ${REFUSED[key]}: give the keys themselves`,
      )
    if (profile.has('role_arn') && profile.has('mfa_serial'))
      throw invalid(this.origin, `profile [${name}] has mfa_serial: nobody is here to type the code of a device`)
  }

  private both(name: string): TerminalError {
    return invalid(this.origin, `profile [${name}] has source_profile and web_identity_token_file: keep one of them`)
  }

  private without(name: string, profile: Profile): TerminalError {
    const person = NEEDS_A_PERSON.find((key) => profile.has(key))
    if (person !== undefined)
      return invalid(
        this.origin,
        `profile [${name}] has no aws_access_key_id; ${person} needs a person to log in: give the keys themselves`,
      )
    const role = profile.has('role_arn')
      ? '; its role_arn needs source_profile or web_identity_token_file beside it'
      : ''
    return invalid(this.origin, `profile [${name}] has no aws_access_key_id${role}${this.hint()}`)
  }

  /** A key may have been lost with a line that could not be read. */
  private hint(): string {
    return this.file.notes.length === 0 ? '' : ` (${this.file.notes.join('; ')})`
  }
}

/** An empty value counts as missing. */
function given(profile: Profile, key: string): string | undefined {
  const value = profile.get(key)
  return value === '' ? undefined : value
}

function whyEmpty(text: string): string {
  if (text.trim() === '') return 'it is empty'
  return 'it has no [profile]; is the text encoded in base64 once too often?'
}

function listed({ profiles }: ReadFile): string {
  return [...profiles.keys()].map((name) => `[${name}]`).join(', ')
}

function invalid(origin: string, why: string): TerminalError {
  return new TerminalError('CredentialsInvalid', `the AWS credentials in ${origin} cannot be used: ${why}`)
}
