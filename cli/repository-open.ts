// `dormouse repository open`: with the recovery key and the bucket, lets a password open the repository again.

import { readFile } from 'node:fs/promises'
import type { KubeObject } from '#shared/api/kinds.ts'
import { parseRepositoryParameters } from '#shared/domain/repository-parameters.ts'
import { parseRepositoryKey } from '#shared/domain/repository-secrets.ts'
import { addPasswordSlot, requireRepository } from '#shared/engine/repository.ts'
import type { ScryptCost } from '#shared/format/key-slot.ts'
import { DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { accessCluster, type ClusterAccess, type ClusterFlags, namedParameters } from './cluster-access.ts'
import { openStore } from './open-store.ts'

export type OpenFlags = ClusterFlags & {
  location?: string
  repository?: string
  /** Without a cluster: `key=value` as in repopsitoryParameters. */
  parameter?: string[]
  credentialsFile?: string
  recoveryPassphraseFile?: string
  recoveryKeyFile?: string
  passwordFile?: string
}

export type Opened = {
  repositoryId: string
  location: string
  /** Key of the slot that was added; undefined: the password opened the repository already. */
  slot: string | undefined
}

/** `recoverySecret`: the passphrase, or the private key as PEM. Repeating it adds nothing. */
export async function openWithRecovery(
  store: ObjectStore,
  recoverySecret: string,
  password: string,
  cost?: ScryptCost,
): Promise<Opened> {
  const repository = await requireRepository(store, recoverySecret)
  const opened = { repositoryId: repository.config.repositoryId, location: store.location }
  if (await opens(store, password)) return { ...opened, slot: undefined }
  const slot = await addPasswordSlot(store, repository.keys, password, cost)
  if (await opens(store, password)) return { ...opened, slot }
  throw new TerminalError(
    'RepositoryKeyWrong',
    `${store.location}: the slot ${slot} was written and does not open; look at the store`,
  )
}

export async function openRepositoryCommand(flags: OpenFlags): Promise<Opened> {
  const recoverySecret = await recoverySecretOf(flags)
  const { parameters, readSecret } = await sourceOf(flags)
  const { settings, store } = await openStore(parameters, readSecret)
  const password =
    flags.passwordFile === undefined
      ? parseRepositoryKey(await readSecret(settings.encryptionSecretName), settings.encryptionSecretName).password
      : await textOf(flags.passwordFile)
  return await openWithRecovery(store, recoverySecret, password)
}

async function recoverySecretOf(flags: OpenFlags): Promise<string> {
  const files = [flags.recoveryPassphraseFile, flags.recoveryKeyFile].filter((file) => file !== undefined)
  const [file] = files
  if (file !== undefined && files.length === 1) return await textOf(file)
  throw usage('give one of --recovery-passphrase-file and --recovery-key-file')
}

type Source = { parameters: Record<string, string>; readSecret: ClusterAccess['readSecret'] }

/** A cluster's location or repository; or everything from the command line, on a machine that has no cluster yet. */
async function sourceOf(flags: OpenFlags): Promise<Source> {
  if (flags.parameter === undefined) {
    const access = accessCluster(flags)
    return { parameters: await namedParameters(access, flags), readSecret: access.readSecret }
  }
  if (flags.location !== undefined || flags.repository !== undefined) {
    throw usage('--parameter stands for a whole repository: leave --location and --repository away')
  }
  if (flags.passwordFile === undefined)
    throw usage('give --password-file: without a cluster there is no Secret to read')
  const parameters = Object.fromEntries(flags.parameter.map(keyAndValue))
  const { credentialSecret } = parseRepositoryParameters(parameters)
  const text = flags.credentialsFile === undefined ? undefined : await readFile(flags.credentialsFile, 'utf8')
  const readSecret = async (name: string) => {
    return name === credentialSecret.name && text !== undefined
      ? asSecret(name, credentialSecret.key ?? 'cloud', text)
      : undefined
  }
  return { parameters, readSecret }
}

function keyAndValue(text: string): [string, string] {
  const equals = text.indexOf('=')
  if (equals < 1) throw usage(`--parameter ${JSON.stringify(text)}: write key=value`)
  return [text.slice(0, equals), text.slice(equals + 1)]
}

function asSecret(name: string, key: string, value: string): KubeObject {
  const data = { [key]: Buffer.from(value).toString('base64') }
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data }
}

async function opens(store: ObjectStore, secret: string): Promise<boolean> {
  try {
    await requireRepository(store, secret)
    return true
  } catch (error) {
    if (error instanceof DormouseError && error.reason === 'RepositoryKeyWrong') return false
    throw error
  }
}

/** Editors end a file with a newline, which is no part of a secret. */
async function textOf(file: string): Promise<string> {
  const text = (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  if (text !== '') return text
  throw usage(`${file} is empty`)
}

function usage(message: string): TerminalError {
  return new TerminalError('UsageInvalid', message)
}
