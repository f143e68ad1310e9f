// A thrown value in the words that a user of Velero reads: the reason first, which stands in docs/operations/reasons.md.

import { asError, DormouseError } from '#shared/kernel/errors.ts'

export function errorWords(thrown: unknown): string {
  const error = asError(thrown)
  const message = error.message || error.name
  return error instanceof DormouseError ? `${error.reason}: ${message}` : message
}
