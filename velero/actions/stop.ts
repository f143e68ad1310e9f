// Requests that an object stops its work. Can be repeated; has no effect on an object that is over.

import { KINDS } from '#shared/api/kinds.ts'
import type { ChangeOf, KindTypes } from '#shared/api/types.ts'
import { asksToStop } from '#shared/domain/cancel.ts'
import { stepPatch } from '#shared/domain/step-label.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { ActionDeps } from './deps.ts'

const ATTEMPTS = 10

type Request = 'Snapshot' | 'CloneFromSnapshot'

type Stoppable<Name extends Request> = {
  kind: Name
  /** Reads the object again for each attempt. */
  find: () => Promise<KindTypes[Name] | undefined>
  isOver: (object: KindTypes[Name]) => boolean
  spec: ChangeOf<Name>['spec']
}

/** true: this call has requested the stop. undefined: there is nothing to stop. */
export async function stop<Name extends Request>(
  deps: ActionDeps,
  { kind, find, isOver, spec }: Stoppable<Name>,
): Promise<boolean | undefined> {
  for (let attempt = 1; ; attempt++) {
    const object = await find()
    if (object === undefined) return undefined
    if (asksToStop(object) || isOver(object)) return false
    try {
      // The label makes this an event; without it only the next sweep would notice the request (docs/operations/cancel.md).
      const metadata = stepPatch(KINDS[kind].step, deps.clock.nowMs())
      await deps.cluster.patch(kind, object, { metadata, spec } as ChangeOf<Name>)
      return true
    } catch (error) {
      if (!(error instanceof ConflictError) || attempt >= ATTEMPTS) throw error
    }
  }
}
