// Opens and creates repositories: the config, the key slots, and which process wins when two create a repository at the same time.

import { randomBytes } from 'node:crypto'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { RecoveryChoice } from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { NO_FEATURES } from '#shared/repository/format/features.ts'
import { newSlotId, wrapForPublicKey, wrapWithPassphrase } from '#shared/repository/format/key-slot.ts'
import { CONFIG_KEY, keySlotKey } from '#shared/repository/format/names.ts'
import {
  checkConfigMac,
  decodeConfig,
  encodeConfig,
  MOST_CONFIG_BYTES,
  type RepositoryConfig,
} from '#shared/repository/format/repository-config.ts'
import { REPOSITORY_KEY_BYTES, RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import type { KeySlot, ScryptCost } from '#shared/repository/format/slot-fields.ts'
import {
  DEFAULT_CHUNK_BYTES,
  DEFAULT_PAGE_CHUNKS,
  MAX_CHUNK_BYTES,
  READABLE_CHUNK_BYTES,
} from '#shared/repository/format/version.ts'
import { boundedStore } from './bounded-store.ts'
import { damagedSlots, type KeyCache, readSlots, type SlotList, unwrapAny } from './key-slots.ts'

export { KeyCache } from './key-slots.ts'

export type Repository = { store: ObjectStore; keys: RepositoryKeys; config: RepositoryConfig }
/** `slots`: the slots that were read and are intact. `damagedSlots`: names of the others, sorted. */
export type OpenedRepository = Repository & { slots: ReadonlyMap<string, KeySlot>; damagedSlots: readonly string[] }

type CreateOptions = {
  chunkBytes?: number | undefined
  /** Smaller only in tests. */
  pageChunks?: number | undefined
  scrypt?: ScryptCost | undefined
  keyCache?: KeyCache | undefined
}

/**
 * undefined: there is no repository. TerminalErrors: `RepositoryKeyWrong`: the secret opens none of its slots; `RepositoryDiffers`: the
 * repository is not `repositoryId`.
 */
export async function openRepository(
  store: ObjectStore,
  secret: string,
  keyCache?: KeyCache,
  repositoryId?: string,
): Promise<OpenedRepository | undefined> {
  const where = `${store.location}/${CONFIG_KEY}`
  const bytes = await store.getRange(CONFIG_KEY, 0, MOST_CONFIG_BYTES + 1)
  if (bytes === undefined) return undefined
  const { config, mac } = decodeConfig(bytes, where)
  requireId(store, config, repositoryId)
  const list = await readSlots(store, config.repositoryId)
  const master = await masterOf(store, config.repositoryId, list, secret, keyCache)
  const keys = new RepositoryKeys(config.repositoryId, master)
  checkConfigMac(keys, config, mac, where)
  const damaged = damagedSlots(keys, list)
  const intact = list.slots.filter(({ slotId }) => !damaged.includes(keySlotKey(slotId)))
  const slots = new Map(intact.map(({ slotId, slot }) => [slotId, slot]))
  return { store: boundedStore(store), keys, config, slots, damagedSlots: damaged }
}

/** Checked before any slot is tried: another repository has other passwords, and the error would then name the password as the reason. */
function requireId(store: ObjectStore, config: RepositoryConfig, wanted: string | undefined): void {
  if (wanted === undefined || wanted === config.repositoryId) return
  throw new TerminalError(
    'RepositoryDiffers',
    `${store.location} holds repository ${config.repositoryId}, the backups are in ${wanted}: ` +
      'let a BackupStorageLocation point to where that one is',
  )
}

async function masterOf(
  store: ObjectStore,
  repositoryId: string,
  list: SlotList,
  secret: string,
  keyCache: KeyCache | undefined,
): Promise<Uint8Array> {
  const known = await keyCache?.get(store, repositoryId, secret)
  if (known !== undefined) return known
  const { found, master } = await unwrapAny(store, repositoryId, list, secret)
  keyCache?.set(repositoryId, secret, found, master)
  return master
}

/** Opens a repository that must exist. */
export async function requireRepository(
  store: ObjectStore,
  secret: string,
  keyCache?: KeyCache,
  repositoryId?: string,
): Promise<OpenedRepository> {
  const repository = await openRepository(store, secret, keyCache, repositoryId)
  if (repository !== undefined) return repository
  throw missing(store)
}

export function missing({ location }: ObjectStore): TerminalError {
  return new TerminalError('RepositoryMissing', `${location} holds no repository`)
}

/**
 * Writes the key slots first, under names that contain the new repository's id, and then the config, which decides the race. A crash in
 * between leaves slots that no config names. The process that loses a race takes the winner's repository (and needs its secret).
 */
export async function createRepository(
  store: ObjectStore,
  secret: string,
  recovery: RecoveryChoice | undefined,
  options: CreateOptions = {},
): Promise<{ repository: OpenedRepository; created: boolean }> {
  await refuseLeftovers(store)
  const { chunkBytes = DEFAULT_CHUNK_BYTES, pageChunks = DEFAULT_PAGE_CHUNKS } = options
  const repositoryId = randomBytes(16).toString('hex')
  const config: RepositoryConfig = { repositoryId, chunkBytes, pageChunks, ...NO_FEATURES }
  checkChunkBytes(chunkBytes)
  const keys = new RepositoryKeys(config.repositoryId, randomBytes(REPOSITORY_KEY_BYTES))
  const slots = [await passwordSlot(keys, secret, options.scrypt)]
  // All slots are made before the first is written, because the recovery key may turn out to be unusable.
  if (recovery !== undefined) slots.push(await recoverySlot(keys, recovery, options.scrypt))
  for (const slot of slots) await putSlot(store, slot)
  await store.putIfAbsent(CONFIG_KEY, encodeConfig(keys, config))
  const repository = await requireRepository(store, secret, options.keyCache)
  const created = repository.config.repositoryId === config.repositoryId
  if (!created) for (const { key } of slots) await store.delete(key)
  return { repository, created }
}

/** Returns the slot's key. */
export async function addPasswordSlot(
  store: ObjectStore,
  keys: RepositoryKeys,
  password: string,
  cost?: ScryptCost,
): Promise<string> {
  return await putSlot(store, await passwordSlot(keys, password, cost))
}

export async function addRecoverySlot(
  store: ObjectStore,
  keys: RepositoryKeys,
  recovery: RecoveryChoice,
  cost?: ScryptCost,
): Promise<string> {
  return await putSlot(store, await recoverySlot(keys, recovery, cost))
}

type NewSlot = { key: string; body: Uint8Array }

async function passwordSlot(keys: RepositoryKeys, password: string, cost?: ScryptCost): Promise<NewSlot> {
  const slotId = newSlotId(keys.repositoryId)
  return { key: keySlotKey(slotId), body: await wrapWithPassphrase(slotId, 'password', password, keys, cost) }
}

async function recoverySlot(keys: RepositoryKeys, recovery: RecoveryChoice, cost?: ScryptCost): Promise<NewSlot> {
  const slotId = newSlotId(keys.repositoryId)
  const body =
    recovery.kind === 'passphrase'
      ? await wrapWithPassphrase(slotId, 'recovery-passphrase', recovery.passphrase, keys, cost)
      : wrapForPublicKey(slotId, recovery.pem, keys)
  return { key: keySlotKey(slotId), body }
}

/** The name is random. If it is taken, then by this very PUT, repeated after its answer was lost. */
async function putSlot(store: ObjectStore, { key, body }: NewSlot): Promise<string> {
  await store.putIfAbsent(key, body)
  return key
}

/** A lost config must not lead to a new repository beside the old data. */
async function refuseLeftovers(store: ObjectStore): Promise<void> {
  for (const prefix of ['roots/', 'packs/']) {
    for await (const { key } of store.list(prefix)) {
      throw new TerminalError(
        'RepositoryConfigMissing',
        `${store.location} holds ${key} but no ${CONFIG_KEY}: restore that object, or use an empty place`,
      )
    }
  }
}

function checkChunkBytes(chunkBytes: number): void {
  if (Number.isInteger(Math.log2(chunkBytes)) && chunkBytes >= READABLE_CHUNK_BYTES && chunkBytes <= MAX_CHUNK_BYTES) {
    return
  }
  throw new TerminalError('ChunkSizeInvalid', `chunkBytes ${chunkBytes}: use a power of two up to ${MAX_CHUNK_BYTES}`)
}
