// What the Secrets hold that a repository's parameters name: store credentials, CA, customer key, and the repository's own key.

import type { Secret } from '#shared/api/types.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { type AwsCredentials, type ChosenProfile, chooseProfile } from './aws-credentials.ts'
import { decodeCaCert, isRegion, type SecretRef } from './repository-parameter-values.ts'
import type { RepositorySettings } from './repository-parameters.ts'
import { type Reference, requireKeySecret, requireStoreSecret, storeReferences } from './secret-purposes.ts'

/** The values that toS3Settings needs, already taken out of their Secrets. Memory only. */
export type RepositorySecrets = {
  /** Text of the AWS credentials file; undefined: there is none and the SDK's own chain is to be used. */
  credentialsFile: string | undefined
  caCert: string | undefined
  customerKey: Uint8Array | undefined
}

export type RepositoryKey = {
  password: string
  recovery: { kind: 'passphrase'; passphrase: string } | { kind: 'publicKey'; pem: string } | undefined
}

/** Assignable to S3Settings of shared/ports/mover.ts. */
export function toS3Settings(settings: RepositorySettings, secrets: RepositorySecrets) {
  const profile = profileOf(settings, secrets)
  return {
    region: regionWith(settings, profile),
    bucket: settings.bucket,
    prefix: settings.prefix,
    url: settings.url,
    forcePathStyle: settings.forcePathStyle,
    caCert: joinPem(settings.caCert, secrets.caCert === undefined ? undefined : decodeCaCert(secrets.caCert)),
    insecureSkipTlsVerify: settings.insecureSkipTlsVerify,
    credentials: profile === undefined ? keysInParameters(settings) : profile.credentials,
    serverSideEncryption: settings.serverSideEncryption,
    kmsKeyId: settings.kmsKeyId,
    customerKey: settings.customerKeySecret && customerKeyOf(settings.customerKeySecret, secrets.customerKey),
    tagging: settings.tagging,
    checksumAlgorithm: settings.checksumAlgorithm,
  }
}

/** For messages: where the store's credentials come from. */
export function credentialOrigin(settings: RepositorySettings): string {
  if (settings.inlineCredentials !== undefined && !settings.credentialSecretNamed)
    return "the repository's own parameters (plain text)"
  const key = settings.credentialSecret.key
  return `Secret ${settings.credentialSecret.name}${key === undefined ? '' : `/${key}`}, profile [${settings.profile}]`
}

/**
 * A Secret's value as bytes. RetryableError `SecretMissing`: it may be applied a moment later. TerminalError
 * `RepositoryParametersInvalid`: it serves another purpose.
 */
export function secretValue(secret: Secret | undefined, reference: Reference): Uint8Array {
  const { ref, purpose } = reference
  if (secret === undefined)
    throw new RetryableError(
      'SecretMissing',
      `Secret ${ref.name} (${purpose}) does not exist: create it in Velero's namespace`,
    )
  const data: Record<string, string> = secret.data ?? {}
  const key = ref.key ?? (data['cloud'] === undefined ? Object.keys(data)[0] : 'cloud')
  if (key !== undefined) requireStoreSecret(secret, reference, key)
  const value = key === undefined ? undefined : data[key]
  if (value === undefined || value === '') {
    throw new RetryableError('SecretMissing', `Secret ${ref.name} (${purpose}) has no key ${key ?? 'at all'}: add it`)
  }
  return Buffer.from(value, 'base64')
}

/** Reads through `readSecret` what the settings name. An absent default Secret means the SDK's own chain, no error. */
export async function collectSecrets(
  settings: RepositorySettings,
  readSecret: (name: string) => Promise<Secret | undefined>,
): Promise<RepositorySecrets> {
  const values = new Map<string, Uint8Array>()
  for (const reference of storeReferences(settings)) {
    const secret = await readSecret(reference.ref.name)
    const mayBeAbsent = reference.parameter === 'credentialSecretName' && !settings.credentialSecretNamed
    if (secret === undefined && mayBeAbsent) continue
    values.set(reference.parameter, secretValue(secret, reference))
  }
  const text = (parameter: string) => {
    const bytes = values.get(parameter)
    return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8')
  }
  return {
    credentialsFile: text('credentialSecretName'),
    caCert: text('caCertSecret'),
    customerKey: values.get('customerKeyEncryptionSecret'),
  }
}

/** `dormouse-repository-key`: `password`, and `recovery-passphrase` or `recovery-public-key`. Values end before a final newline. */
export function parseRepositoryKey(secret: Secret | undefined, name: string): RepositoryKey {
  requireKeySecret(secret, name)
  const password = keyText(secret, 'password')
  if (password === undefined) {
    throw new RetryableError(
      'RepositoryKeyMissing',
      `Secret ${name} in Velero's namespace has no key "password": Dormouse never makes one up, create it`,
    )
  }
  const passphrase = keyText(secret, 'recovery-passphrase')
  const pem = keyText(secret, 'recovery-public-key')
  if (passphrase !== undefined) return { password, recovery: { kind: 'passphrase', passphrase } }
  return { password, recovery: pem === undefined ? undefined : { kind: 'publicKey', pem } }
}

function keyText(secret: Secret | undefined, key: string): string | undefined {
  const value: string | undefined = secret?.data?.[key]
  // `kubectl create secret --from-file` keeps the newline that editors put at the end.
  const text =
    value === undefined
      ? ''
      : Buffer.from(value, 'base64')
          .toString('utf8')
          .replace(/\r?\n$/, '')
  return text === '' ? undefined : text
}

/** What is odd in the credentials file, for a log: lines by their numbers, nothing of the text. */
export function credentialNotes(settings: RepositorySettings, secrets: RepositorySecrets): string[] {
  const notes = profileOf(settings, secrets)?.notes ?? []
  return notes.map((note) => `the AWS credentials in ${credentialOrigin(settings)}: ${note}`)
}

/** TerminalError `CredentialsInvalid`. undefined: there is no credentials file. */
function profileOf(settings: RepositorySettings, { credentialsFile }: RepositorySecrets): ChosenProfile | undefined {
  if (credentialsFile === undefined) return undefined
  const profile = chooseProfile(credentialsFile, settings.profile, credentialOrigin(settings))
  if (profile.hasEndpoint && settings.url === undefined)
    throw unusable(settings, 'it names an endpoint_url, which is not followed: write the address into s3Url')
  return profile
}

function regionWith(settings: RepositorySettings, profile: ChosenProfile | undefined): string {
  const region = settings.regionNamed ? undefined : profile?.region
  if (region === undefined) return settings.region
  if (isRegion(region)) return region
  throw unusable(settings, 'its region is none: write letters, digits and hyphens, such as eu-west-1')
}

function unusable(settings: RepositorySettings, why: string): TerminalError {
  return new TerminalError(
    'CredentialsInvalid',
    `the AWS credentials in ${credentialOrigin(settings)} cannot be used: ${why}`,
  )
}

function keysInParameters(settings: RepositorySettings): AwsCredentials | undefined {
  return settings.credentialSecretNamed ? undefined : settings.inlineCredentials
}

/** 32 bytes, or their base64; one newline at the end is forgiven. The answer is base64. */
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
