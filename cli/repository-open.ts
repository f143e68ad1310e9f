// `dormouse repository open`: with the bucket and a secret that opens the repository now (the recovery key, or the current password), adds
// another password. Run it before the Secret's password is changed, or after the Secret was lost. `--close-others`, after that: the old
// passwords no longer open it.

import { DormouseError } from '#shared/kernel/errors.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { closeOthers, letIn, slotUseless } from '#shared/repository/core/password-slots.ts'
import { requireRepository } from '#shared/repository/core/repository.ts'
import type { ScryptCost } from '#shared/repository/format/slot-fields.ts'
import { openNamedStore } from './open-store.ts'
import { isWithoutCluster, passwordOf, type SourceFlags, sourceOf, textOf, usage } from './repository-source.ts'

export type OpenFlags = SourceFlags & {
  recoveryPassphraseFile?: string
  recoveryKeyFile?: string
  currentPasswordFile?: string
  closeOthers?: true
  secretDiffers?: true
}

type Opened = {
  repositoryId: string
  location: string
  /** Key of the slot that was added; undefined: the password already opened the repository. */
  slot: string | undefined
  /** Keys of the slots of other passwords that were removed. */
  closed: string[]
}

/** `repositoryId`: the repository that the store must hold; another one is `RepositoryDiffers`. `cost`: for tests. */
type OpenOptions = { cost?: ScryptCost | undefined; repositoryId?: string | undefined }

/** `secret`: opens the repository now: a passphrase, a private key as PEM, or a password that has a slot. Repeating it adds nothing. */
export async function letPasswordIn(
  store: ObjectStore,
  secret: string,
  password: string,
  { cost, repositoryId }: OpenOptions = {},
): Promise<Opened> {
  const repository = await requireRepository(store, secret, undefined, repositoryId)
  const opened = { repositoryId: repository.config.repositoryId, location: store.location, closed: [] }
  if (await opens(store, password)) return { ...opened, slot: undefined }
  const slot = await letIn(store, repository.keys, password, cost)
  if (await opens(store, password)) return { ...opened, slot }
  throw slotUseless(store, slot)
}

export async function openRepositoryCommand(flags: OpenFlags): Promise<Opened> {
  const file = openingFile(flags)
  const { stores, spec, repositoryId, readSecret } = await sourceOf(flags)
  const { parameters, store } = await openNamedStore(stores, spec, readSecret)
  const secretsPassword = () => passwordOf({}, parameters, readSecret)
  const secret = file === undefined ? await secretsPassword() : await textOf(file)
  const password = flags.passwordFile === undefined ? await secretsPassword() : await textOf(flags.passwordFile)
  if (flags.closeOthers !== true) return await letPasswordIn(store, secret, password, { repositoryId })
  await requireSecretsPassword(flags, password, secretsPassword)
  return await keepOnlyPassword(store, secret, password, { repositoryId })
}

/**
 * Adds the password if necessary, and removes the other slots only after it has opened the repository. After a crash in between, repeat
 * it.
 */
export async function keepOnlyPassword(
  store: ObjectStore,
  secret: string,
  password: string,
  { cost, repositoryId }: OpenOptions = {},
): Promise<Opened> {
  const { config, keys } = await requireRepository(store, secret, undefined, repositoryId)
  const closed = await closeOthers(store, keys, password, cost)
  return { repositoryId: config.repositoryId, location: store.location, ...closed }
}

/** The functions use the Secret's password: removing its slot would stop every backup. Without a cluster this cannot be checked. */
export async function requireSecretsPassword(
  flags: OpenFlags,
  password: string,
  secretsPassword: () => Promise<string>,
): Promise<void> {
  if (isWithoutCluster(flags) || flags.secretDiffers === true) return
  if (password === (await secretsPassword())) return
  throw usage(
    'the Secret holds another password than the one to keep: change the Secret first, then close the others (or give --secret-differs)',
  )
}

/** The file with the secret that opens the repository now; undefined: the Secret in the cluster opens it, and a new password is given. */
function openingFile(flags: OpenFlags): string | undefined {
  const ways = [flags.recoveryPassphraseFile, flags.recoveryKeyFile, flags.currentPasswordFile]
  const [file, another] = ways.filter((way) => way !== undefined)
  const secretOpensIt = (flags.passwordFile !== undefined || flags.closeOthers === true) && !isWithoutCluster(flags)
  if (another === undefined && (file !== undefined || secretOpensIt)) return file
  const secret = isWithoutCluster(flags)
    ? 'without a cluster there is no Secret that could open the repository'
    : "or none of them with --password-file or --close-others: the Secret's password opens the repository then"
  throw usage(`give one of --recovery-passphrase-file, --recovery-key-file and --current-password-file; ${secret}`)
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
