// Opens and creates repositories: config, key slots, and who wins when two create one at the same time.

import { createHash, randomBytes } from 'node:crypto'
import {
  decodeSlot,
  type KeySlot,
  newSlotId,
  type ScryptCost,
  slotPrefix,
  unwrapSlot,
  wrapForPublicKey,
  wrapWithPassphrase,
} from '#shared/format/key-slot.ts'
import { CONFIG_KEY, keySlotKey } from '#shared/format/names.ts'
import { checkConfigMac, decodeConfig, encodeConfig, type RepositoryConfig } from '#shared/format/repository-config.ts'
import { REPOSITORY_KEY_BYTES, RepositoryKeys } from '#shared/format/repository-keys.ts'
import {
  DEFAULT_CHUNK_BYTES,
  DEFAULT_PAGE_CHUNKS,
  MAX_CHUNK_BYTES,
  READABLE_CHUNK_BYTES,
} from '#shared/format/version.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { RecoveryChoice } from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'

export type Repository = { store: ObjectStore; keys: RepositoryKeys; config: RepositoryConfig }
export type OpenedRepository = Repository & { slots: ReadonlyMap<string, KeySlot> }

export type CreateOptions = {
  chunkBytes?: number | undefined
  /** Smaller only in tests. */
  pageChunks?: number | undefined
  scrypt?: ScryptCost | undefined
  keyCache?: KeyCache | undefined
}

/** Repository keys that this process has unwrapped already, as scrypt is slow on purpose. Memory only. */
export class KeyCache {
  readonly #pepper = randomBytes(32)
  readonly #masters = new Map<string, Uint8Array>()

  get(repositoryId: string, slotIds: readonly string[], secret: string): Uint8Array | undefined {
    return this.#masters.get(this.#name(repositoryId, slotIds, secret))
  }

  set(repositoryId: string, slotIds: readonly string[], secret: string, master: Uint8Array): void {
    this.#masters.set(this.#name(repositoryId, slotIds, secret), master)
  }

  #name(repositoryId: string, slotIds: readonly string[], secret: string): string {
    const hash = createHash('sha256').update(this.#pepper)
    return hash.update(JSON.stringify([repositoryId, slotIds, secret])).digest('hex')
  }
}

/** undefined: there is no repository. TerminalError `RepositoryKeyWrong`: the secret opens none of its slots. */
export async function openRepository(
  store: ObjectStore,
  secret: string,
  keyCache?: KeyCache,
): Promise<OpenedRepository | undefined> {
  const where = `${store.location}/${CONFIG_KEY}`
  const bytes = await store.get(CONFIG_KEY)
  if (bytes === undefined) return undefined
  const { config, mac } = decodeConfig(bytes, where)
  const slots = await readSlots(store, config.repositoryId)
  const slotIds = [...slots.keys()]
  const cached = keyCache?.get(config.repositoryId, slotIds, secret)
  const master = cached ?? unwrapAny(store, config.repositoryId, slots, secret)
  keyCache?.set(config.repositoryId, slotIds, secret, master)
  const keys = new RepositoryKeys(config.repositoryId, master)
  checkConfigMac(keys, config, mac, where)
  return { store, keys, config, slots }
}

/** Opens the repository that must exist. */
export async function requireRepository(
  store: ObjectStore,
  secret: string,
  keyCache?: KeyCache,
): Promise<OpenedRepository> {
  const repository = await openRepository(store, secret, keyCache)
  if (repository !== undefined) return repository
  throw new TerminalError('RepositoryMissing', `${store.location} holds no repository`)
}

/**
 * Key slots first, under names that carry the new repository's id; then the config, which decides. A crash in between
 * leaves slots that no config names; whoever loses a race takes the winner's repository (and needs its secret).
 */
export async function createRepository(
  store: ObjectStore,
  secret: string,
  recovery: RecoveryChoice | undefined,
  options: CreateOptions = {},
): Promise<{ repository: OpenedRepository; created: boolean }> {
  await refuseLeftovers(store)
  const { chunkBytes = DEFAULT_CHUNK_BYTES, pageChunks = DEFAULT_PAGE_CHUNKS } = options
  const config: RepositoryConfig = { repositoryId: randomBytes(16).toString('hex'), chunkBytes, pageChunks }
  checkChunkBytes(chunkBytes)
  const keys = new RepositoryKeys(config.repositoryId, randomBytes(REPOSITORY_KEY_BYTES))
  const slots = [passwordSlot(keys, secret, options.scrypt)]
  // Made before the first is written: a recovery key may turn out to be of no use.
  if (recovery !== undefined) slots.push(recoverySlot(keys, recovery, options.scrypt))
  for (const slot of slots) await putSlot(store, slot)
  await store.putIfAbsent(CONFIG_KEY, encodeConfig(keys, config))
  const repository = await requireRepository(store, secret, options.keyCache)
  const created = repository.config.repositoryId === config.repositoryId
  if (!created) for (const { key } of slots) await store.delete(key)
  return { repository, created }
}

/** Answers the slot's key. */
export async function addPasswordSlot(
  store: ObjectStore,
  keys: RepositoryKeys,
  password: string,
  cost?: ScryptCost,
): Promise<string> {
  return await putSlot(store, passwordSlot(keys, password, cost))
}

export async function addRecoverySlot(
  store: ObjectStore,
  keys: RepositoryKeys,
  recovery: RecoveryChoice,
  cost?: ScryptCost,
): Promise<string> {
  return await putSlot(store, recoverySlot(keys, recovery, cost))
}

type NewSlot = { key: string; body: Uint8Array }

function passwordSlot(keys: RepositoryKeys, password: string, cost?: ScryptCost): NewSlot {
  const slotId = newSlotId(keys.repositoryId)
  return { key: keySlotKey(slotId), body: wrapWithPassphrase(slotId, 'password', password, keys.master, cost) }
}

function recoverySlot(keys: RepositoryKeys, recovery: RecoveryChoice, cost?: ScryptCost): NewSlot {
  const slotId = newSlotId(keys.repositoryId)
  const body =
    recovery.kind === 'passphrase'
      ? wrapWithPassphrase(slotId, 'recovery-passphrase', recovery.passphrase, keys.master, cost)
      : wrapForPublicKey(slotId, recovery.pem, keys.master)
  return { key: keySlotKey(slotId), body }
}

/** The name is random: should it be taken, it is by this very PUT, repeated after a lost answer. */
async function putSlot(store: ObjectStore, { key, body }: NewSlot): Promise<string> {
  await store.putIfAbsent(key, body)
  return key
}

async function readSlots(store: ObjectStore, repositoryId: string): Promise<Map<string, KeySlot>> {
  const slots = new Map<string, KeySlot>()
  for await (const { key } of store.list(keySlotKey(slotPrefix(repositoryId)))) {
    const bytes = await store.get(key)
    const slot = bytes === undefined ? undefined : decodeSlot(bytes)
    if (slot !== undefined) slots.set(key.slice(keySlotKey('').length), slot)
  }
  return slots
}

function unwrapAny(
  store: ObjectStore,
  repositoryId: string,
  slots: ReadonlyMap<string, KeySlot>,
  secret: string,
): Uint8Array {
  for (const [slotId, slot] of slots) {
    const master = unwrapSlot(slotId, slot, secret)
    if (master !== undefined) return master
  }
  const tried = [...slots].map(([slotId, slot]) => `${slotId} (${slot.kind})`).join(', ')
  throw new TerminalError(
    'RepositoryKeyWrong',
    `repository ${repositoryId} in ${store.location}: the given secret opens none of its key slots: ${tried || 'there are none'}`,
  )
}

/** A config that is gone must not turn into a new repository beside old data. */
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
