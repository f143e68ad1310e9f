// Records each cancel and how long the object takes to react. Without faults in between it never takes longer than the sweep needs.

import { isOver } from '#shared/domain/sweep.ts'
import { seeUpload } from '#shared/domain/upload.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Stepped, World } from './world.ts'

/** Time for two sweeps and for the chunk that a slice is moving; a back-off, which lasts up to an hour, must not delay a cancel. */
const HEARD_WITHIN_MS = 5 * MINUTE_MS

type Question = { atMs: number; faults: string; heard: boolean }

export class Asked {
  readonly #world: World
  readonly #open = new Map<string, Question>()

  constructor(world: World) {
    this.#world = world
    world.cluster.onWrite((kind, _before, after) => {
      const name = after && nameOf(kind, after.metadata.namespace, after.metadata.name)
      const question = name === undefined ? undefined : this.#open.get(name)
      if (after === undefined || question === undefined || question.heard) return
      if (!this.#hasHeard({ ...after, kind })) return
      question.heard = true
      const tookMs = world.clock.nowMs() - question.atMs
      if (tookMs > HEARD_WITHIN_MS && question.faults === this.#faults())
        world.broken.push(`${name} was cancelled only after ${Math.round(tookMs / MINUTE_MS)} minutes`)
    })
  }

  cancel(kind: Stepped, namespace: string | undefined, name: string): void {
    const key = nameOf(kind, namespace, name)
    if (this.#open.has(key)) return
    const object = this.#world.cluster.peek(kind, namespace, name)
    const heard = object === undefined || this.#hasHeard({ ...object, kind })
    this.#open.set(key, { atMs: this.#world.clock.nowMs(), faults: this.#faults(), heard })
  }

  /** A cancel has no effect on an upload that is sealed or given up: only its clean-up is left, which takes its own time. */
  #hasHeard(object: LooseObject): boolean {
    if (object['status']?.phase === 'Canceling' || isOver(object)) return true
    // A Snapshot that is removing its disk snapshot has seen the cancel, however long vCenter takes.
    if (object['status']?.reason === 'SnapshotDeletionRunning') return true
    const upload = this.#uploadOf(object)
    return upload !== undefined && (seeUpload(upload).sealed || seeUpload(upload).givenUp)
  }

  #uploadOf(object: LooseObject): LooseObject | undefined {
    if (object.kind !== 'Snapshot') return object.kind === 'Upload' ? object : undefined
    const place = `${object.metadata.namespace}/${object.metadata.name}`
    return this.#world.cluster.peekAll('Upload').find((upload) => upload['spec'].snapshotReference === place)
  }

  /** Changes with every fault. After a fault the reaction may take longer. */
  #faults(): string {
    const { faults, deaths } = this.#world
    return `${faults.count} ${deaths}`
  }
}

function nameOf(kind: string, namespace: string | undefined, name: string): string {
  return `${kind} ${namespace}/${name}`
}
