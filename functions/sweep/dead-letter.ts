// Handles an event that no function accepted: its object gets an Event and stays due.

import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import type { ObjectRef } from '#shared/runtime/ref.ts'

/** A dead letter only adds an Event to its object. It is never a terminal state, because the sweep wakes objects that are due. */
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

/** An HTTP status or `none`: the sender of a dead letter must not choose an Event's text, nor cause a new Event with each text. */
export function statusText(code: unknown): string {
  return typeof code === 'string' && /^[1-5]\d\d$/.test(code) ? code : 'none'
}
