// A repository's key slots. Reading bounds their number and size; trying them bounds the cost.

import { createHash, randomBytes } from 'node:crypto'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { ObjectStore, StoredObject } from '#shared/ports/object-store.ts'
import { decodeSlot } from '#shared/repository/format/decode-slot.ts'
import { MOST_SLOT_BYTES, slotPrefix, unwrapSlot } from '#shared/repository/format/key-slot.ts'
import { keySlotKey } from '#shared/repository/format/names.ts'
import type { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import { isSlotIntact } from '#shared/repository/format/slot-mac.ts'
import { type FoundSlot, openableBy, planTrials } from '#shared/repository/format/slot-trials.ts'
import { inParallel } from './in-parallel.ts'

/** The oldest slots that are read. A repository has two, and one more for each password that was added and not closed. */
export const MOST_SLOTS = 64
/**
 * A hundred pages of LIST. If an attacker plants more slots than this, the right one may not be found; the error says so
 * (`KeySlotsSuspect`).
 */
const MOST_LISTED = 100_000
export const PARALLEL_READS = 8
const SHOWN_SLOTS = 5

export type SlotList = {
  slots: FoundSlot[]
  /** How many names there are. Names that are not in `slots` were not read, or are not slots. */
  listed: number
  /** Names of the newest slots, for an error message. */
  newest: string[]
  /** Names of objects that are too large to be read, or that were read and are not a slot this version knows. */
  unreadable: string[]
}

export async function readSlots(store: ObjectStore, repositoryId: string): Promise<SlotList> {
  const { oldest, newest, tooLarge, listed } = await slotNames(store, repositoryId)
  const unreadable = tooLarge.map(({ key }) => key)
  const read = await inParallel(oldest, PARALLEL_READS, async ({ key, modifiedMs }) => {
    const bytes = await readSlotBytes(store, key)
    const slot = bytes && decodeSlot(bytes)
    if (bytes !== undefined && slot === undefined) unreadable.push(key)
    return slot && { slotId: slotIdIn(key), slot, modifiedMs }
  })
  return { slots: read.filter((slot) => slot !== undefined), listed, newest: newest.map(({ key }) => key), unreadable }
}

async function slotNames(store: ObjectStore, repositoryId: string) {
  let [oldest, newest]: StoredObject[][] = [[], []]
  const tooLarge: StoredObject[] = []
  let listed = 0
  const settle = () => {
    oldest = (oldest ?? []).toSorted((a, b) => a.modifiedMs - b.modifiedMs).slice(0, MOST_SLOTS)
    newest = (newest ?? []).toSorted((a, b) => b.modifiedMs - a.modifiedMs).slice(0, SHOWN_SLOTS)
  }
  for await (const object of store.list(keySlotKey(slotPrefix(repositoryId)))) {
    if (++listed > MOST_LISTED) break
    newest?.push(object)
    if (object.bytes <= MOST_SLOT_BYTES) oldest?.push(object)
    else if (tooLarge.length < MOST_SLOTS) tooLarge.push(object)
    if (listed % 1024 === 0) settle()
  }
  settle()
  return { oldest: oldest ?? [], newest: newest ?? [], tooLarge, listed }
}

export async function readSlot(store: ObjectStore, key: string): Promise<Omit<FoundSlot, 'modifiedMs'> | undefined> {
  const bytes = await readSlotBytes(store, key)
  const slot = bytes && decodeSlot(bytes)
  return slot && { slotId: slotIdIn(key), slot }
}

/** The slot may have been replaced by a larger object after it was listed. */
const readSlotBytes = (store: ObjectStore, key: string) => store.getRange(key, 0, MOST_SLOT_BYTES + 1)

const slotIdIn = (key: string): string => key.slice(keySlotKey('').length)

/** Names of slots that were written without the repository key, were damaged later, or have a format that only a later version knows. */
export function damagedSlots(keys: RepositoryKeys, { slots, unreadable }: SlotList): string[] {
  const changed = slots.filter(({ slotId, slot }) => !isSlotIntact(keys, slotId, slot))
  return [...unreadable, ...changed.map(({ slotId }) => keySlotKey(slotId))].sort()
}

/** Repository keys that this process has already unwrapped, because scrypt is slow on purpose. Kept in memory only. */
export class KeyCache {
  readonly #pepper = randomBytes(32)
  readonly #masters = new Map<string, { slotId: string; slot: string; master: Uint8Array }>()

  /** Returns the key only while the slot that it came from is unchanged: a slot that was removed must no longer grant access. */
  async get(store: ObjectStore, repositoryId: string, secret: string): Promise<Uint8Array | undefined> {
    const known = this.#masters.get(this.#name(repositoryId, secret))
    if (known === undefined) return undefined
    const standing = await readSlot(store, keySlotKey(known.slotId))
    return standing !== undefined && JSON.stringify(standing.slot) === known.slot ? known.master : undefined
  }

  set(repositoryId: string, secret: string, { slotId, slot }: FoundSlot, master: Uint8Array): void {
    if (this.#masters.size >= MOST_KNOWN) this.#masters.clear()
    this.#masters.set(this.#name(repositoryId, secret), { slotId, slot: JSON.stringify(slot), master })
  }

  #name(repositoryId: string, secret: string): string {
    const hash = createHash('sha256').update(this.#pepper)
    return hash.update(JSON.stringify([repositoryId, secret])).digest('hex')
  }
}

const MOST_KNOWN = 256

export const CLOSING = 'dormouse repository open … --close-others'

/**
 * TerminalError `RepositoryKeyWrong`: the secret opens none of the slots. `KeySlotsSuspect`: the secret opens none of the slots that were
 * tried, and there are more slots, or more expensive ones, than a repository has.
 */
export async function unwrapAny(
  store: ObjectStore,
  repositoryId: string,
  list: SlotList,
  secret: string,
): Promise<{ found: FoundSlot; master: Uint8Array }> {
  const trials = planTrials(list.slots, secret)
  for (const found of trials) {
    const master = await unwrapSlot(found.slotId, found.slot, secret)
    if (master !== undefined) return { found, master }
  }
  const where = `repository ${repositoryId} in ${store.location}`
  if (list.listed > MOST_SLOTS || trials.length < openableBy(list.slots, secret).length)
    throw suspicion(where, list, trials.length)
  const tried = trials.map(({ slotId, slot }) => `${slotId} (${slot.kind})`)
  const names = tried.length > SHOWN_SLOTS ? [...tried.slice(0, SHOWN_SLOTS), `${tried.length} in all`] : tried
  throw new TerminalError(
    'RepositoryKeyWrong',
    `${where}: the given secret opens none of its key slots: ${names.join(', ') || 'there are none'}`,
  )
}

function suspicion(where: string, { listed, newest }: SlotList, tried: number): TerminalError {
  const many = listed > MOST_LISTED ? `more than ${MOST_LISTED}` : String(listed)
  return new TerminalError(
    'KeySlotsSuspect',
    `${where} holds ${many} key slots, and the secret opens none of the ${tried} that were tried. If passwords were let in many times, close the old ones: ${CLOSING}, with one that opens it. If not, somebody who can write the bucket has planted them: change its credentials, and copy all slots to another place. Only then remove those that you did not make; the right one may be among the newest: ${newest.join(', ')}`,
  )
}
