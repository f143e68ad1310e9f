// The passwords that open a repository. A new password is added only if its slot will be tried; closing removes all other passwords.

import { TerminalError } from '#shared/kernel/errors.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { DEFAULT_SCRYPT, MOST_SLOT_BYTES, slotPrefix, unwrapSlot } from '#shared/repository/format/key-slot.ts'
import { keySlotKey } from '#shared/repository/format/names.ts'
import type { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import type { ScryptCost } from '#shared/repository/format/slot-fields.ts'
import { type FoundSlot, hasRoomForPassword, planTrials } from '#shared/repository/format/slot-trials.ts'
import { inParallel } from './in-parallel.ts'
import { CLOSING, MOST_SLOTS, PARALLEL_READS, readSlot, readSlots } from './key-slots.ts'
import { addPasswordSlot } from './repository.ts'

/** Returns the slot's key. TerminalError `KeySlotsFull`: nothing was written, because the new slot would never be tried. */
export async function letIn(
  store: ObjectStore,
  keys: RepositoryKeys,
  password: string,
  cost?: ScryptCost,
): Promise<string> {
  await requireRoom(store, keys.repositoryId, cost)
  return await addPasswordSlot(store, keys, password, cost)
}

/** `slot`: the slot that was added; undefined: the password already had one. `closed`: the keys of the slots that were removed. */
type Closed = { slot: string | undefined; closed: string[] }

/**
 * Makes this the only password; recovery keys stay. No slot is removed before the password's own slot was seen to open. The password gets
 * a slot even where it would not be tried yet, because this call then makes room.
 */
export async function closeOthers(
  store: ObjectStore,
  keys: RepositoryKeys,
  password: string,
  cost?: ScryptCost,
): Promise<Closed> {
  const known = await slotOpenedBy(store, keys, password)
  const kept = known ?? (await addPasswordSlot(store, keys, password, cost))
  if (!(await opensSlot(store, kept, keys, password))) throw slotUseless(store, kept)
  const closed = await removePasswords(store, keys.repositoryId, kept)
  if (await opensSlot(store, kept, keys, password)) return { slot: known === undefined ? kept : undefined, closed }
  // Another process closed this slot at the same time. When two processes do so, the later one notices, so one password always stays.
  return { slot: await addPasswordSlot(store, keys, password, cost), closed }
}

export function slotUseless({ location }: ObjectStore, slot: string): TerminalError {
  return new TerminalError(
    'RepositoryKeyWrong',
    `${location}: the slot ${slot} was written and does not open; look at the store: are there other slots below keys/ that nobody of yours made?`,
  )
}

/** TerminalError `KeySlotsFull`: the slot of one more password would be left out when slots are tried. */
async function requireRoom(store: ObjectStore, repositoryId: string, cost: ScryptCost = DEFAULT_SCRYPT): Promise<void> {
  const { slots, listed } = await readSlots(store, repositoryId)
  if (listed < MOST_SLOTS && hasRoomForPassword(slots, cost)) return
  throw new TerminalError(
    'KeySlotsFull',
    `repository ${repositoryId} in ${store.location} has ${listed} key slots, and one more password would not be tried; nothing was written: close old ones with ${CLOSING}, which keeps one password and the recovery keys`,
  )
}

/** Key of the slot that the password opens; undefined: the password opens none of the slots that are tried. */
async function slotOpenedBy(store: ObjectStore, keys: RepositoryKeys, password: string): Promise<string | undefined> {
  const { slots } = await readSlots(store, keys.repositoryId)
  for (const found of planTrials(slots, password)) {
    if (await isOpenedBy(found, keys, password)) return keySlotKey(found.slotId)
  }
  return undefined
}

async function opensSlot(store: ObjectStore, key: string, keys: RepositoryKeys, password: string): Promise<boolean> {
  const found = await readSlot(store, key)
  return found !== undefined && (await isOpenedBy(found, keys, password))
}

/** An attacker who knows the password could plant a slot that wraps another key. Such a slot must not be the one that is kept. */
async function isOpenedBy(
  { slotId, slot }: Pick<FoundSlot, 'slotId' | 'slot'>,
  { master }: RepositoryKeys,
  password: string,
): Promise<boolean> {
  const found = await unwrapSlot(slotId, slot, password)
  return found !== undefined && Buffer.compare(found, master) === 0
}

/** Removes every password slot except `kept`, including slots that are not tried. Returns their keys. */
async function removePasswords(store: ObjectStore, repositoryId: string, kept: string): Promise<string[]> {
  const others: string[] = []
  for await (const { key, bytes } of store.list(keySlotKey(slotPrefix(repositoryId)))) {
    if (key !== kept && bytes <= MOST_SLOT_BYTES) others.push(key)
  }
  const removed = await inParallel(others, PARALLEL_READS, async (key) => {
    if ((await readSlot(store, key))?.slot.kind !== 'password') return undefined
    await store.delete(key)
    return key
  })
  return removed.filter((key) => key !== undefined)
}
