// Checks an asynchronous rejection by the class and the reason of its error; uvu's own throws() is synchronous.

import * as assert from 'uvu/assert'
import { ConflictError, DormouseError, isApiTrouble } from '#shared/kernel/errors.ts'

type ErrorClass = abstract new (...args: never[]) => DormouseError

/** Returns the error, for further checks. */
export async function rejects<E extends ErrorClass>(
  act: Promise<unknown>,
  errorClass: E,
  reason: string,
): Promise<InstanceType<E>> {
  const outcome: unknown = await act.then(
    (value) => new Error(`it did not fail, it gave ${JSON.stringify(value)}`),
    (error: unknown) => error,
  )
  if (!(outcome instanceof errorClass && outcome instanceof DormouseError)) {
    throw new Error(`wants ${errorClass.name} ${reason}, not ${String(outcome)}`, { cause: outcome })
  }
  assert.is(outcome.reason, reason, outcome.message)
  // Failures of the API itself are no outcome of an object's work: steps recognise them by this field, not by the name of the class.
  assert.is(isApiTrouble(outcome), reason.startsWith('Kubernetes') || outcome instanceof ConflictError, outcome.message)
  return outcome as InstanceType<E>
}
