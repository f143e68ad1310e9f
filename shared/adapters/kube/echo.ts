// Checks that an answer comes from the API server and not from something in between. A success has to name the object that was requested: a
// proxy's page must not pass for an empty list, a changed object or a deletion.

import { KINDS, type KubeObject } from '#shared/api/kinds.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import type { ApiAnswer } from './exchange.ts'
import { type Attempt, attemptText, requireSuccess } from './refusals.ts'

type ListAnswer = { metadata?: { continue?: string }; items: Partial<KubeObject>[] }

/** Lists of metadata only have a kind of their own. */
const METADATA_LIST = { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1' }

export function objectIn(answer: ApiAnswer, attempt: Attempt): KubeObject {
  requireSuccess(answer, attempt)
  const { kind } = attempt
  const body = recordOf(answer.body)
  if (!isOf(body, KINDS[kind].kind, KINDS[kind].apiVersion) || !isNamed(body, attempt))
    throw unreadable(answer, attempt)
  return body as KubeObject
}

export function listIn(answer: ApiAnswer, attempt: Attempt): ListAnswer {
  requireSuccess(answer, attempt)
  const { kind } = attempt
  const body = recordOf(answer.body)
  const isList =
    isOf(body, `${KINDS[kind].kind}List`, KINDS[kind].apiVersion) ||
    isOf(body, METADATA_LIST.kind, METADATA_LIST.apiVersion)
  // Go encodes an empty list of some kinds as null.
  const items: unknown = body['items'] === null ? [] : body['items']
  if (!isList || !Array.isArray(items) || !items.every((item) => isNamed(recordOf(item), attempt))) {
    throw unreadable(answer, attempt)
  }
  return { metadata: recordOf(body['metadata']), items }
}

/** A deletion that is complete, or that waits for a finalizer. */
export function checkDeletion(answer: ApiAnswer, attempt: Attempt): void {
  requireSuccess(answer, attempt)
  const body = recordOf(answer.body)
  if (isOf(body, 'Status', 'v1') && body['status'] === 'Success') return
  objectIn(answer, attempt)
}

function unreadable({ status, body }: ApiAnswer, attempt: Attempt): RetryableError {
  const found = body === undefined ? 'it is no JSON' : `it is ${excerptOf(JSON.stringify(body), 100)}`
  const what = `${attemptText(attempt)}: ${status}, but the answer is not the API server's: ${found}`
  return new RetryableError('KubernetesAnswerUnreadable', `${what}. Does a proxy answer?`, { origin: 'api' })
}

function isOf(body: Record<string, unknown>, kind: string, apiVersion: string): boolean {
  return body['kind'] === kind && body['apiVersion'] === apiVersion
}

/** Every stored object has a UID. For an item of a list, only its namespace is checked, if one was requested. */
function isNamed(body: Record<string, unknown>, { kind, namespace, name }: Attempt): boolean {
  const metadata = recordOf(body['metadata'])
  const { name: ownName, namespace: ownNamespace, uid } = metadata
  if (typeof ownName !== 'string' || ownName === '' || typeof uid !== 'string' || uid === '') return false
  if (name !== undefined && ownName !== name) return false
  if (!KINDS[kind].namespaced) return true
  return typeof ownNamespace === 'string' && (namespace === undefined || ownNamespace === namespace)
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}
