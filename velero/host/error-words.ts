// Formats a thrown value for a user of Velero: the reason first, which is in docs/operations/reasons.md.
// Whatever value was thrown, it must fail its call only, and not the process, which other calls run in.

import { asError, DormouseError } from '#shared/kernel/errors.ts'

/** An error whose texts can be read: a library may throw a value that has none, or whose getters throw. */
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
