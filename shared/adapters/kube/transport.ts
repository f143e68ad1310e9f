// Sends requests with the current credentials, and maps a missing answer to a retryable error.

import { API_CALL_MS } from '#shared/kernel/call-limits.ts'
import { asError, DormouseError, RetryableError } from '#shared/kernel/errors.ts'
import type { Access } from './access.ts'
import { type ApiAnswer, type ApiRequest, exchange, TooLong } from './exchange.ts'
import { findAccess } from './find-access.ts'

/** Rejects with RetryableError `KubernetesUnavailable` if there is no answer, with TooLong if the answer is too long. */
export type Transport = (request: ApiRequest) => Promise<ApiAnswer>

export type TransportOptions = {
  findAccess?: () => Promise<Access>
  userAgent?: string
  timeoutMs?: number
}

export function createTransport(options: TransportOptions = {}): Transport {
  const { userAgent = 'dormouse', timeoutMs = API_CALL_MS, findAccess: find = findAccess } = options
  let access: Promise<Access> | undefined
  const send = async (request: ApiRequest) => {
    access ??= find()
    const { server, agent, headers } = await access
    const named = { accept: 'application/json', 'user-agent': userAgent, ...(await headers()) }
    return await exchange(request, { server, agent, headers: named, timeoutMs })
  }
  return async (request) => {
    try {
      const answer = await send(request)
      if (answer.status !== 401) return answer
      access = undefined // the credentials were replaced: read them again, once
      return await send(request)
    } catch (thrown) {
      if (thrown instanceof TooLong && request.maxBytes !== undefined) throw thrown
      access = undefined // the certificate authority may have been replaced
      if (thrown instanceof DormouseError) throw thrown
      throw unavailable(request, asError(thrown))
    }
  }
}

function unavailable({ method, path }: ApiRequest, cause: Error): RetryableError {
  return new RetryableError('KubernetesUnavailable', `${method} ${path}: ${cause.message}`, { cause, origin: 'api' })
}
