// Waits for objects by watching them, and records every state on the way.

import { KINDS, type KindName } from '#shared/api/kinds.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Api } from './api.ts'
import { Watch } from './watch.ts'

export type Seen = { object: LooseObject; deleted: boolean; atMs: number }
export type WaitResult = {
  object: LooseObject
  seen: Seen[]
  /** `status.phase` in the order seen, without repetitions. */
  phases: string[]
}

/** Keeps every state of a kind from `start` on. A watch leaves out only a state that another write replaces at the same instant. */
export class Recorder {
  readonly seen: Seen[] = []
  private readonly watch: Watch
  private readonly listeners = new Set<(seen: Seen) => void>()

  constructor(api: Api, kind: KindName, namespace?: string, name?: string) {
    this.watch = new Watch(api, KINDS[kind].apiVersion, kind, {
      ...(namespace === undefined ? {} : { namespace }),
      ...(name === undefined ? {} : { name }),
      onObject: (object, type) => {
        const seen = { object, deleted: type === 'DELETED', atMs: Date.now() }
        this.seen.push(seen)
        for (const listener of this.listeners) listener(seen)
      },
    })
  }

  async start(): Promise<this> {
    await this.watch.start()
    return this
  }

  stop(): void {
    this.watch.stop()
  }

  of(name: string): Seen[] {
    return this.seen.filter(({ object }) => object.metadata.name === name)
  }

  phasesOf(name: string): string[] {
    return phases(this.of(name))
  }

  onSeen(listener: (seen: Seen) => void): void {
    this.listeners.add(listener)
  }
}

type Wanted = { kind: KindName; namespace?: string; name: string }

/** Resolves at the first state for which `predicate` is true; `undefined` stands for "not there". */
export async function waitForObject(
  api: Api,
  { kind, namespace, name }: Wanted,
  predicate: (object: LooseObject | undefined) => boolean,
  timeoutMs: number,
): Promise<WaitResult> {
  const recorder = new Recorder(api, kind, namespace, name)
  const { promise, resolve } = Promise.withResolvers<Seen | undefined>()
  const timer = setTimeout(() => resolve(undefined), timeoutMs)
  recorder.onSeen((seen) => {
    if (predicate(seen.deleted ? undefined : seen.object)) resolve(seen)
  })
  try {
    await recorder.start()
    if (recorder.seen.length === 0 && predicate(undefined)) return { object: NOTHING, seen: [], phases: [] }
    const last = await promise
    if (last !== undefined) return { object: last.object, seen: recorder.seen, phases: phases(recorder.seen) }
    throw new Error(
      `${kind} ${namespace ?? ''}/${name}: not as wanted after ${timeoutMs} ms; ${summary(recorder.seen)}`,
    )
  } finally {
    clearTimeout(timer)
    recorder.stop()
  }
}

const NOTHING: LooseObject = { apiVersion: '', kind: '', metadata: { name: '' } }

function phases(seen: Seen[]): string[] {
  const all = seen.map(({ object, deleted }) => (deleted ? '(deleted)' : (object['status']?.phase ?? '')))
  return all.filter((phase, index) => phase !== '' && phase !== all[index - 1])
}

function summary(seen: Seen[]): string {
  const last = seen.at(-1)
  if (last === undefined) return 'it was never there'
  const { labels, annotations } = last.object.metadata
  const shown = { phases: phases(seen), labels, annotations, status: last.object['status'] }
  return `last seen: ${JSON.stringify(shown, (_, value) => (typeof value === 'string' ? value.slice(0, 400) : value))}`
}
