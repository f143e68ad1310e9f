// An event that no function took: its object gets an Event, and stays due.

import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'

/** A dead letter puts an Event beside its object; it is never a terminal state, as the sweep wakes what is due. */
export async function noteDeadLetter(deps: StepDeps, ref: ObjectRef, code: string): Promise<string> {
  const object = await deps.cluster.read(ref.kind, ref.namespace, ref.name)
  if (object === undefined) return 'gone'
  await announce(
    deps,
    { ...object, kind: ref.kind },
    'Warning',
    'EventUndelivered',
    `its function did not take an event (last answer ${code}); the sweep wakes it`,
  )
  return 'noted'
}

/** An HTTP status, or nothing: whoever sends a dead letter must not choose an Event's text, nor make a new Event each time. */
export function statusText(code: unknown): string {
  return typeof code === 'string' && /^[1-5]\d\d$/.test(code) ? code : 'none'
}
