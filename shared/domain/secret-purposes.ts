// A Secret serves only the purpose it was named for: values that go to a store never come from a repository's key or from the vSphere
// configuration, and these two never come from other Secrets. One rule covers all references, before and after the Secret is read.

import type { Secret } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { invalid, type SecretRef } from './repository-parameter-values.ts'

export const DEFAULT_CREDENTIAL_SECRET = 'cloud-credentials'
export const DEFAULT_ENCRYPTION_SECRET = 'dormouse-repository-key'
export const DEFAULT_VSPHERE_SECRET = 'velero-vsphere-config-secret'

const KEY_PARTS = ['password', 'recovery-passphrase', 'recovery-public-key']
/** Only the Secret of a repository's key has these; a key `password` may occur in many Secrets. */
const UNMISTAKABLE = ['recovery-passphrase', 'recovery-public-key']

/** A parameter that names a Secret, and what the value is for. `optional`: it may be absent. */
export type Reference = { parameter: string; purpose: string; ref: SecretRef; optional?: boolean }

/**
 * The check before anything is read. `references`: everything that the store gets from Secrets. Throws TerminalError
 * `RepositoryParametersInvalid`, which names the parameter.
 */
export function requirePurposes(encryptionSecretName: string, references: readonly Reference[]): void {
  if (encryptionSecretName === DEFAULT_CREDENTIAL_SECRET || encryptionSecretName === DEFAULT_VSPHERE_SECRET) {
    throw invalid('encryptionSecretName', `Secret ${encryptionSecretName} serves another purpose: ${keyFix}`)
  }
  const seen = new Set<string>()
  for (const reference of references) {
    const { name } = reference.ref
    if (name === DEFAULT_ENCRYPTION_SECRET || name === encryptionSecretName) throw isKey(reference)
    if (name === DEFAULT_VSPHERE_SECRET) throw isVSphere(reference)
    requireKeyName(reference, reference.ref.key ?? 'cloud')
    const value = `${name}/${reference.ref.key ?? 'cloud'}`
    if (seen.has(value)) throw invalid(reference.parameter, `Secret ${value} serves another purpose: ${fix(reference)}`)
    seen.add(value)
  }
}

/** The check after the Secret is read. `key` is the one that is about to be used. */
export function requireStoreSecret(secret: Secret, reference: Reference, key: string): void {
  requireKeyName(reference, key)
  const names = Object.keys(secret.data ?? {})
  if (names.some((name) => UNMISTAKABLE.includes(name))) throw isKey(reference)
  if (names.some(isVSphereFile)) throw isVSphere(reference)
}

/** The Secret of a repository's key must not contain the vSphere configuration. */
export function requireKeySecret(secret: Secret | undefined, name: string): void {
  if (!Object.keys(secret?.data ?? {}).some(isVSphereFile)) return
  throw invalid('encryptionSecretName', `Secret ${name} holds the vSphere configuration: ${keyFix}`)
}

/** Throws TerminalError `VSphereConfigInvalid` if `vsphere_secret_name` names a repository's key or the store's credentials. */
export function requireVSphereSecret(name: string, data: Readonly<Record<string, string>>): void {
  const keys = Object.keys(data)
  const isReserved = name === DEFAULT_ENCRYPTION_SECRET || name === DEFAULT_CREDENTIAL_SECRET
  const isOther = keys.some((key) => UNMISTAKABLE.includes(key)) || (keys.length === 1 && keys[0] === 'password')
  if (!isReserved && !isOther) return
  throw new TerminalError(
    'VSphereConfigInvalid',
    `Secret ${name} serves another purpose: name the one with the vSphere configuration in vsphere_secret_name`,
  )
}

function requireKeyName(reference: Reference, key: string): void {
  if (KEY_PARTS.includes(key)) throw isKey(reference)
  if (isVSphereFile(key)) throw isVSphere(reference)
}

function isVSphereFile(key: string): boolean {
  return key.endsWith('.conf')
}

const keyFix = "put the repository's key into a Secret of its own, and name that"

function fix({ purpose }: Reference): string {
  return `put ${purpose} into a Secret of its own, and name that`
}

function isKey(reference: Reference): TerminalError {
  const { name, key } = reference.ref
  const place = key === undefined ? name : `${name}/${key}`
  return invalid(
    reference.parameter,
    `Secret ${place} is that of a repository's key, which serves nothing else: ${fix(reference)}`,
  )
}

function isVSphere(reference: Reference): TerminalError {
  return invalid(
    reference.parameter,
    `Secret ${reference.ref.name} holds the vSphere configuration, and serves nothing else: ${fix(reference)}`,
  )
}
