// Checks progress: the durable part of a transfer never shrinks, grows from slice to slice while there is no fault, and a slice that makes
// progress resets the count of failures.

import { stepOf } from '#shared/domain/step-label.ts'
import { isOver } from '#shared/domain/sweep.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { World } from './world.ts'

/** So many slices in a row may make no progress without a fault: a slice may do no more than find out what exists. */
const MOST_IDLE_SLICES = 1

type Transfer = 'Upload' | 'Download'
/** `position`: how much was durable when the slice began. */
type Slice = { number: number; position: number; faults: number }
type Watched = { slice: Slice; idle: Slice[] }

/** Checks every write to an Upload or Download, and collects violations in `world.broken`. */
export class Progress {
  readonly #world: World
  readonly #watched = new Map<string, Watched>()

  constructor(world: World) {
    this.#world = world
    world.cluster.onWrite((kind, before, after) => {
      if (kind === 'Upload' || kind === 'Download') this.#look(kind, before, after)
    })
  }

  /** Says where each transfer's last slice began. */
  describe(): string {
    const all = [...this.#watched].map(
      ([name, { slice }]) => `${name}: slice ${slice.number} began at ${slice.position}`,
    )
    return all.join('; ')
  }

  #look(kind: Transfer, before: LooseObject | undefined, after: LooseObject | undefined): void {
    if (after === undefined) return
    const isNext = Number(after['status']?.slice ?? 0) > Number(before?.['status']?.slice ?? 0)
    if (!isNext || isOver({ ...after, kind })) return
    const name = `${kind} ${after.metadata.name} ${after.metadata.uid} ${this.#workOf(kind, after)}`
    const now: Slice = {
      number: Number(after['status']?.slice),
      position: this.#positionOf(kind, after),
      faults: this.#world.faults.count,
    }
    const watched = this.#watched.get(name)
    if (watched !== undefined && before !== undefined) this.#checkFailures(name, watched.slice, now, before)
    this.#watched.set(name, { slice: now, idle: watched === undefined ? [] : this.#judge(name, watched, now) })
  }

  /** Only failures in a row count: a slice that ended in order and made progress resets the count. */
  #checkFailures(name: string, slice: Slice, now: Slice, before: LooseObject): void {
    const { phase, retryCount = 0 } = before['status'] ?? {}
    const hasEnded = phase === 'InProgress' && ['upload', 'download'].includes(stepOf(before) ?? '')
    if (hasEnded && now.position > slice.position && Number(retryCount) > 0)
      this.#world.broken.push(`${name} still counts ${retryCount} failures, though slice ${slice.number} got on`)
  }

  /** The session, or the backup, for which the position counts. */
  #workOf(kind: Transfer, { status }: LooseObject): string {
    return String((kind === 'Upload' ? status?.session : status?.root) ?? '')
  }

  /** Upload: bytes and pages of the newest checkpoint, infinite once the session is sealed or given up. Download: the next chunk. */
  #positionOf(kind: Transfer, { status }: LooseObject): number {
    if (kind === 'Download') return Number(status?.nextChunk ?? 0)
    const session = String(status?.session ?? '')
    if (this.#world.bucket.isEnded(session)) return Number.POSITIVE_INFINITY
    const checkpoint = this.#world.bucket.checkpointOf(session)
    return checkpoint === undefined ? 0 : checkpoint.stats.bytesDone + Number(checkpoint.source['plannedPages'])
  }

  /** Returns the slices in a row that made no progress. */
  #judge(name: string, { slice, idle }: Watched, now: Slice): Slice[] {
    const text = (slices: Slice[]) => slices.map(({ number, position }) => `${number} at ${position}`).join(', ')
    if (now.position < slice.position) this.#world.broken.push(`${name} went back: slices ${text([slice, now])}`)
    if (now.faults !== slice.faults) return []
    if (now.position > slice.position || now.position === Number.POSITIVE_INFINITY) return []
    const stood = [...idle, slice]
    if (stood.length > MOST_IDLE_SLICES)
      this.#world.broken.push(`${name} gets nowhere though nothing goes wrong: slices ${text([...stood, now])}`)
    return stood
  }
}
