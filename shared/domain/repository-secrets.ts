// The values of the Secrets that a repository's parameters name: store credentials, CA, customer key, and the repository's own key.

import type { Secret } from '#shared/api/types.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { type Reference, requireKeySecret, requireStoreSecret } from './secret-purposes.ts'

/** Keyed by the parameter that names the Secret. Kept in memory only. */
export type SecretValues = ReadonlyMap<string, Uint8Array>

export type RepositoryKey = {
  password: string
  recovery: { kind: 'passphrase'; passphrase: string } | { kind: 'publicKey'; pem: string } | undefined
  /** The Secret has a passphrase and a public key, of which `recovery` is the passphrase. */
  hasTwoRecoveries?: true
}

/**
 * A Secret's value as bytes. Throws RetryableError `SecretMissing`, because the Secret may be applied a moment later, and TerminalError
 * `RepositoryParametersInvalid` if the Secret serves another purpose.
 */
function secretValue(secret: Secret | undefined, reference: Reference): Uint8Array {
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

/** Reads all references through `readSecret`. An optional Secret that is absent has no value. */
export async function collectSecrets(
  references: readonly Reference[],
  readSecret: (name: string) => Promise<Secret | undefined>,
): Promise<SecretValues> {
  const values = new Map<string, Uint8Array>()
  for (const reference of references) {
    const secret = await readSecret(reference.ref.name)
    if (secret === undefined && reference.optional === true) continue
    values.set(reference.parameter, secretValue(secret, reference))
  }
  return values
}

/** `dormouse-repository-key`: `password`, and `recovery-passphrase` or `recovery-public-key`. A final newline is not part of a value. */
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
  if (passphrase !== undefined) {
    const both = pem === undefined ? {} : { hasTwoRecoveries: true as const }
    return { password, recovery: { kind: 'passphrase', passphrase }, ...both }
  }
  return { password, recovery: pem === undefined ? undefined : { kind: 'publicKey', pem } }
}

/**
 * Before a recovery slot is made. RetryableError `RecoveryKeyInvalid`: a repository gets one recovery key, and to choose one in silence would leave
 * the operator with another that opens nothing.
 */
export function requireOneRecovery(key: RepositoryKey, name: string): void {
  if (key.hasTwoRecoveries !== true) return
  const text = `Secret ${name} has recovery-passphrase and recovery-public-key, and a repository gets one recovery key: remove one of them`
  throw new RetryableError('RecoveryKeyInvalid', text)
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
