// What the API server's refusals mean. https://kubernetes.io/docs/reference/using-api/api-concepts/

import type { KindName } from '#shared/api/kinds.ts'
import { ConflictError, type DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { ApiAnswer } from './exchange.ts'

/** What was asked for, in words for a message. */
export type Attempt = {
  verb: 'get' | 'list' | 'create' | 'patch' | 'patch status of' | 'delete'
  kind: KindName
  namespace: string | undefined
  name: string | undefined
}

/** The part of a `Status` that is looked at. */
type Status = {
  kind?: string
  reason?: string
  message?: string
  details?: { kind?: string; causes?: { reason?: string; field?: string }[] }
}

/** The server knows the kind and has no such object, as against not serving the kind (yet). */
export function saysNotFound(answer: ApiAnswer): boolean {
  return answer.status === 404 && statusOf(answer).reason === 'NotFound'
}

/** An answer that was cut off is as good as none. */
export function bodyOf(answer: ApiAnswer, attempt: Attempt): object {
  const { status, body } = answer
  if (status >= 200 && status < 300 && typeof body === 'object' && body !== null) return body
  throw errorOf(answer, attempt)
}

export function errorOf(answer: ApiAnswer, attempt: Attempt): DormouseError {
  const { status, retryAfterSeconds } = answer
  const message = `${textOf(attempt)}: ${status} ${statusOf(answer).message ?? 'without a reason'}`
  if (status === 409) return new ConflictError(conflictReason(answer), message)
  if (status === 422 && isOtherObject(answer)) return new ConflictError('Conflict', message)
  if (status === 404) return notFound(answer, attempt, message)
  if (status === 403) return new TerminalError(forbiddenReason(answer), message)
  // 413: longer than the server takes. All three are about what was sent.
  if (status === 400 || status === 413 || status === 422) return new TerminalError('InvalidObject', message)
  if (status === 401 || status === 410 || status === 429 || status < 400 || status >= 500) {
    return new RetryableError(
      'KubernetesUnavailable',
      message,
      retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
    )
  }
  return new TerminalError('KubernetesRefused', message)
}

function conflictReason(answer: ApiAnswer): string {
  return statusOf(answer).reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict'
}

/** The patch carried the UID that was seen: an object of that name was deleted and made again. */
function isOtherObject(answer: ApiAnswer): boolean {
  return causesIn(answer).some(({ field }) => field === 'metadata.uid')
}

/** Nothing can be created in a namespace that is going away; that is told apart from missing rights. */
function forbiddenReason(answer: ApiAnswer): string {
  return causesIn(answer).some(({ reason }) => reason === 'NamespaceTerminating') ? 'NamespaceTerminating' : 'Forbidden'
}

function notFound(answer: ApiAnswer, { verb }: Attempt, message: string): DormouseError {
  // A kind that is not served: its CRD is being installed, or will be.
  if (!saysNotFound(answer)) return new RetryableError('KubernetesKindMissing', message)
  if (verb === 'create') return new TerminalError('NamespaceNotFound', message)
  return new ConflictError('NotFound', message) // gone since it was read: read it again, decide again
}

function causesIn(answer: ApiAnswer) {
  return statusOf(answer).details?.causes ?? []
}

function statusOf({ body }: ApiAnswer): Status {
  return typeof body === 'object' && body !== null ? body : {}
}

function textOf({ verb, kind, namespace, name }: Attempt): string {
  return `${verb} ${kind} ${[namespace, name].filter((part) => part !== undefined).join('/')}`.trimEnd()
}
