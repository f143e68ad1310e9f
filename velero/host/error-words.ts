// A thrown value in the words that a user of Velero reads: the reason first, which stands in docs/operations/reasons.md.
// Whatever was thrown, the call is to fail with it and not the process, which other calls are in.

import { asError, DormouseError } from '#shared/kernel/errors.ts'

/** An error whose texts can be read: a library may throw what has none, or refuses to show them. */
export function readableError(thrown: unknown): Error {
  try {
    const error = asError(thrown)
    return typeof error.message === 'string' && typeof error.stack === 'string' ? error : new Error(String(error))
  } catch {
    return new Error('what was thrown cannot be read')
  }
}

export function errorWords(error: Error): string {
  const message = error.message || error.name
  return error instanceof DormouseError ? `${error.reason}: ${message}` : message
}
