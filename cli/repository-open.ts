// `dormouse repository open`: with the bucket and something that opens the repository now (the recovery key, or the current password), lets
// another password in. Run it before the Secret's password is changed, or after the Secret was lost.

import { addPasswordSlot, requireRepository } from '#shared/engine/repository.ts'
import type { ScryptCost } from '#shared/format/key-slot.ts'
import { DormouseError, TerminalError } from '#shared/kernel/errors.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { openStore } from './open-store.ts'
import { passwordOf, type SourceFlags, sourceOf, textOf, usage } from './repository-source.ts'

export type OpenFlags = SourceFlags & {
  recoveryPassphraseFile?: string
  recoveryKeyFile?: string
  currentPasswordFile?: string
}

export type Opened = {
  repositoryId: string
  location: string
  /** Key of the slot that was added; undefined: the password opened the repository already. */
  slot: string | undefined
}

/** `secret`: what opens it now: a passphrase, a private key as PEM, or a password that has a slot. Repeating it adds nothing. */
export async function letPasswordIn(
  store: ObjectStore,
  secret: string,
  password: string,
  cost?: ScryptCost,
): Promise<Opened> {
  const repository = await requireRepository(store, secret)
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
  const file = openingFile(flags)
  const { parameters, readSecret } = await sourceOf(flags)
  const { settings, store } = await openStore(parameters, readSecret)
  const secretsPassword = () => passwordOf({}, settings, readSecret)
  const secret = file === undefined ? await secretsPassword() : await textOf(file)
  const password = flags.passwordFile === undefined ? await secretsPassword() : await textOf(flags.passwordFile)
  return await letPasswordIn(store, secret, password)
}

/** What holds the secret that opens it now; undefined: the Secret in the cluster does, and a new password is given. */
function openingFile(flags: OpenFlags): string | undefined {
  const ways = [flags.recoveryPassphraseFile, flags.recoveryKeyFile, flags.currentPasswordFile]
  const [file, another] = ways.filter((way) => way !== undefined)
  const secretOpensIt = flags.passwordFile !== undefined && flags.parameter === undefined
  if (another === undefined && (file !== undefined || secretOpensIt)) return file
  throw usage(
    "give one of --recovery-passphrase-file, --recovery-key-file and --current-password-file, or with --password-file none: the Secret's password opens it then",
  )
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
