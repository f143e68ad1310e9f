// Checkpoint objects of one session. The newest that opens wins; older ones are removed when a newer one is durable.

import { ConflictError, CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { OBJECT_LOCKED } from '#shared/ports/object-store.ts'
import { type Checkpoint, openCheckpoint, sealCheckpoint } from '#shared/repository/format/checkpoint.ts'
import { checkpointKey, checkpointPrefix } from '#shared/repository/format/names.ts'
import type { Outbox } from './outbox.ts'
import type { Repository } from './repository.ts'
import type { Warn } from './warn.ts'

/** The name has four digits for the number. The last number is reserved for the end of the slice. */
const MOST_PER_SLICE = 9999

/**
 * Each write removes the checkpoints before it, so there is one checkpoint, or two after a crash. Dormouse did not write any others;
 * prune removes them.
 */
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

  /** undefined: no checkpoint opens, and the transfer starts again from the beginning. */
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

  /** Whether one more checkpoint fits besides the last one of the slice. */
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

  /**
   * Removes the checkpoints, because nothing needs them after the root is written. `but`: name of a checkpoint to keep, from which the
   * next backup may continue.
   */
  async removeAll(but?: string): Promise<void> {
    for await (const { key } of this.#repository.store.list(folderOf(this.#session))) {
      if (but === undefined || key !== `${folderOf(this.#session)}${but}`) await this.#drop(key)
    }
  }

  /** A checkpoint that the store has locked does not fail the backup: prune removes it once the lock allows it. */
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
