// Checkpoint objects of one session: the newest that opens wins, older ones go when a newer one is durable.

import { ConflictError, CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { OBJECT_LOCKED } from '#shared/ports/object-store.ts'
import { type Checkpoint, openCheckpoint, sealCheckpoint } from '#shared/repository/format/checkpoint.ts'
import { checkpointKey, checkpointPrefix } from '#shared/repository/format/names.ts'
import type { Outbox } from './outbox.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

/** Four digits in the name. The last one is kept for the slice's end. */
const MOST_PER_SLICE = 9999

/** A write removes the ones before it: one stands, two after a crash. The rest is somebody else's, and prune's. */
const MOST_KEPT = 1000
const MOST_TRIED = 16

const folderOf = (session: string): string => checkpointPrefix(`${session}/`)

export class Checkpoints {
  readonly #repository: Repository
  readonly #session: string
  readonly #slice: number
  readonly #warn: Warn
  #keys: string[] = []
  #written = 0

  constructor(repository: Repository, session: string, slice: number, warn: Warn) {
    this.#repository = repository
    this.#warn = warn
    this.#session = session
    this.#slice = slice
  }

  /** undefined: there is none that opens, the transfer begins anew. */
  async newest(): Promise<Checkpoint | undefined> {
    const { store, keys } = this.#repository
    this.#keys = []
    this.#written = 0
    for await (const { key } of store.list(folderOf(this.#session))) {
      if (key.startsWith(this.#key(0).slice(0, -4))) this.#written++
      this.#keys.push(key)
      if (this.#keys.length > 2 * MOST_KEPT) this.#keys = this.#keys.slice(-MOST_KEPT)
    }
    for (const key of this.#keys.toReversed().slice(0, MOST_TRIED)) {
      const bytes = await store.get(key)
      if (bytes === undefined) continue
      try {
        return openCheckpoint(keys, key, bytes, `${store.location}/${key}`)
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error
        this.#warn(error.reason, error.message)
      }
    }
    return undefined
  }

  /** Whether one more fits beside the slice's last. */
  get hasRoom(): boolean {
    return this.#written < MOST_PER_SLICE - 1
  }

  async write(checkpoint: Checkpoint, outbox: Outbox): Promise<void> {
    const key = this.#key(++this.#written)
    const body = sealCheckpoint(this.#repository.keys, key, checkpoint)
    if ((await outbox.put(key, body)) === 'theirs') {
      throw new ConflictError('SliceTaken', `${key} exists: someone else works on slice ${this.#slice} of this session`)
    }
    const older = this.#keys.filter((known) => known < key)
    this.#keys = [key]
    for (const known of older) await this.#drop(known)
  }

  /** After the root nothing needs them any more. `but`: name of one that the next backup may go by. */
  async removeAll(but?: string): Promise<void> {
    for await (const { key } of this.#repository.store.list(folderOf(this.#session))) {
      if (but === undefined || key !== `${folderOf(this.#session)}${but}`) await this.#drop(key)
    }
  }

  /** One that the store locks costs no backup: prune takes it once it may. */
  async #drop(key: string): Promise<void> {
    try {
      await this.#repository.store.delete(key)
    } catch (error) {
      if (!(error instanceof TerminalError && error.reason === OBJECT_LOCKED)) throw error
      this.#warn(error.reason, error.message)
    }
  }

  #key(n: number): string {
    return checkpointKey(this.#session, this.#slice, n)
  }
}
