// Asks an object to stop its work. Repeatable, and too late for what is over.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import { asksToStop } from '#shared/domain/cancel.ts'
import { STEP_OF_KIND, type SteppedKind, stepPatch } from '#shared/domain/step-label.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { ActionDeps } from './deps.ts'

const ATTEMPTS = 10

export type Stoppable = {
  kind: KindName & SteppedKind
  /** Read fresh at each attempt. */
  find: () => Promise<KubeObject | undefined>
  isOver: (object: KubeObject) => boolean
  spec: object
}

/** true: this call has asked. undefined: there is nothing to ask. */
export async function stop(deps: ActionDeps, { kind, find, isOver, spec }: Stoppable): Promise<boolean | undefined> {
  for (let attempt = 1; ; attempt++) {
    const object = await find()
    if (object === undefined) return undefined
    if (asksToStop(object) || isOver(object)) return false
    try {
      // The label makes it an event; without it the next sweep would be the first to see it (docs/operations/cancel.md).
      const metadata = stepPatch(STEP_OF_KIND[kind], deps.clock.nowMs())
      await deps.cluster.patch(kind, object, { metadata, spec })
      return true
    } catch (error) {
      if (!(error instanceof ConflictError) || attempt >= ATTEMPTS) throw error
    }
  }
}
