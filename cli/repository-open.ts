// `dormouse repository open`: with the recovery key and the bucket, lets a password open the repository again.

import { addPasswordSlot, requireRepository } from '#shared/engine/repository.ts'
import type { ScryptCost } from '#shared/format/key-slot.ts'
import { DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { openStore } from './open-store.ts'
import { passwordOf, type SourceFlags, sourceOf, textOf, usage } from './repository-source.ts'

export type OpenFlags = SourceFlags & { recoveryPassphraseFile?: string; recoveryKeyFile?: string }

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
    `${store.location}: the slot ${slot} was written and does not open; look at the store: are there other slots below keys/ that nobody of yours made?`,
  )
}

export async function openRepositoryCommand(flags: OpenFlags): Promise<Opened> {
  const recoverySecret = await recoverySecretOf(flags)
  const { parameters, readSecret } = await sourceOf(flags)
  const { settings, store } = await openStore(parameters, readSecret)
  const password = await passwordOf(flags, settings, readSecret)
  return await openWithRecovery(store, recoverySecret, password)
}

async function recoverySecretOf(flags: OpenFlags): Promise<string> {
  const files = [flags.recoveryPassphraseFile, flags.recoveryKeyFile].filter((file) => file !== undefined)
  const [file] = files
  if (file !== undefined && files.length === 1) return await textOf(file)
  throw usage('give one of --recovery-passphrase-file and --recovery-key-file')
}

async function opens(store: ObjectStore, secret: string): Promise<boolean> {
  try {
    await requireRepository(store, secret)
    return true
  } catch (error) {
    const reasons = ['RepositoryKeyWrong', 'KeySlotsSuspect']
    if (error instanceof DormouseError && reasons.includes(error.reason)) return false
    throw error
  }
}
