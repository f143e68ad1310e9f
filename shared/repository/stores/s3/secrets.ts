// Turns a bucket's parameters, and the contents of the Secrets that they name, into the settings of its client.

import { decodeCaCert, type SecretRef } from '#shared/domain/repository-parameter-values.ts'
import type { SecretValues } from '#shared/domain/repository-secrets.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { type AwsCredentials, type ChosenProfile, chooseProfile } from './aws-credentials.ts'
import { isRegion } from './parameter-values.ts'
import type { S3Parameters } from './parameters.ts'
import type { S3Settings } from './settings.ts'

/** TerminalError `CredentialsInvalid`. */
export function toS3Settings(settings: S3Parameters, secrets: SecretValues): S3Settings {
  const profile = profileOf(settings, secrets)
  const caCert = textOf(secrets, 'caCertSecret')
  return {
    kind: 's3',
    region: regionWith(settings, profile),
    bucket: settings.bucket,
    prefix: settings.prefix,
    url: settings.url,
    forcePathStyle: settings.forcePathStyle,
    caCert: joinPem(settings.caCert, caCert === undefined ? undefined : decodeCaCert(caCert)),
    insecureSkipTlsVerify: settings.insecureSkipTlsVerify,
    credentials: profile === undefined ? keysInParameters(settings) : profile.credentials,
    credentialOrigin: credentialOrigin(settings),
    serverSideEncryption: settings.serverSideEncryption,
    kmsKeyId: settings.kmsKeyId,
    customerKey:
      settings.customerKeySecret &&
      customerKeyOf(settings.customerKeySecret, secrets.get('customerKeyEncryptionSecret')),
    tagging: settings.tagging,
    checksumAlgorithm: settings.checksumAlgorithm,
  }
}

/** For messages: where the store's credentials come from. */
export function credentialOrigin(settings: S3Parameters): string {
  if (settings.inlineCredentials !== undefined && !settings.credentialSecretNamed)
    return "the repository's own parameters (plain text)"
  const key = settings.credentialSecret.key
  return `Secret ${settings.credentialSecret.name}${key === undefined ? '' : `/${key}`}, profile [${settings.profile}]`
}

/** What is unusual in the credentials file, for a log: line numbers, and nothing of the text. */
export function credentialNotes(settings: S3Parameters, secrets: SecretValues): string[] {
  const notes = profileOf(settings, secrets)?.notes ?? []
  return notes.map((note) => `the AWS credentials in ${credentialOrigin(settings)}: ${note}`)
}

/** TerminalError `CredentialsInvalid`. undefined: there is no credentials file. */
function profileOf(settings: S3Parameters, secrets: SecretValues): ChosenProfile | undefined {
  const credentialsFile = textOf(secrets, 'credentialSecretName')
  if (credentialsFile === undefined) return undefined
  const profile = chooseProfile(credentialsFile, settings.profile, credentialOrigin(settings))
  if (profile.hasEndpoint && settings.url === undefined)
    throw unusable(settings, 'it names an endpoint_url, which is not followed: write the address into s3Url')
  return profile
}

function regionWith(settings: S3Parameters, profile: ChosenProfile | undefined): string {
  const region = settings.regionNamed ? undefined : profile?.region
  if (region === undefined) return settings.region
  if (isRegion(region)) return region
  throw unusable(settings, 'its region is none: write letters, digits and hyphens, such as eu-west-1')
}

function unusable(settings: S3Parameters, why: string): TerminalError {
  return new TerminalError(
    'CredentialsInvalid',
    `the AWS credentials in ${credentialOrigin(settings)} cannot be used: ${why}`,
  )
}

function keysInParameters(settings: S3Parameters): AwsCredentials | undefined {
  return settings.credentialSecretNamed ? undefined : settings.inlineCredentials
}

/** Accepts 32 bytes or their base64, and ignores one newline at the end. Returns base64. */
function customerKeyOf(ref: SecretRef, given: Uint8Array | undefined): string {
  const bytes = Buffer.from(given ?? [])
  const trimmed = bytes.at(-1) === 0x0a && bytes.length > 32 ? bytes.subarray(0, -1) : bytes
  if (trimmed.length === 32) return trimmed.toString('base64')
  const text = trimmed.toString('latin1')
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return text
  throw new TerminalError(
    'CredentialsInvalid',
    `Secret ${ref.name}/${ref.key ?? ''} is no SSE-C key: it must hold 32 bytes or their base64`,
  )
}

function joinPem(...parts: (string | undefined)[]): string | undefined {
  const given = parts.filter((part) => part !== undefined)
  return given.length === 0 ? undefined : given.map((pem) => pem.trimEnd()).join('\n')
}

function textOf(secrets: SecretValues, parameter: string): string | undefined {
  const bytes = secrets.get(parameter)
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8')
}
