// The Kubernetes API over REST: generic requests by the table of kinds, without a generated client.

import { KINDS, type KindName, type KubeObject } from '#shared/api/kinds.ts'
import type { KindTypes } from '#shared/api/types.ts'
import { fitted } from '#shared/domain/fit.ts'
import type { Cluster, Cursor, ListOptions, Page, PageOptions } from '#shared/ports/cluster.ts'
import { checkDeletion, objectIn } from './echo.ts'
import type { ApiRequest } from './exchange.ts'
import { type AccessOptions, findAccess } from './find-access.ts'
import { nextPage } from './pages.ts'
import { creationPath, objectPath } from './paths.ts'
import { type Attempt, saysNotFound } from './refusals.ts'
import { ServerClock } from './server-clock.ts'
import { createTransport, type Transport, type TransportOptions } from './transport.ts'

type ClusterOptions = TransportOptions &
  AccessOptions & {
    /** Receives the server's warnings about an accepted request, such as an unknown field that it dropped. */
    onWarning?: (warning: string) => void
  }

/** Reads credentials at the first call: KUBECONFIG, else the pod's service account, else the user's own kubeconfig. */
export function createCluster(options: ClusterOptions = {}): Cluster {
  const transport = createTransport({ findAccess: () => findAccess(options), ...options })
  return new KubeCluster(transport, options.onWarning ?? (() => undefined))
}

class KubeCluster implements Cluster {
  readonly #send: Transport
  readonly #onWarning: (warning: string) => void
  readonly #clock = new ServerClock()

  constructor(send: Transport, onWarning: (warning: string) => void) {
    this.#send = async (request) => {
      const answer = await send(request)
      this.#clock.note(answer.dateMs)
      return answer
    }
    this.#onWarning = onWarning
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  async read<Name extends KindName>(
    kind: Name,
    namespace: string | undefined,
    name: string,
  ): Promise<KindTypes[Name] | undefined> {
    const answer = await this.#send({ method: 'GET', path: objectPath(kind, namespace, name) })
    if (saysNotFound(answer)) return undefined
    return objectIn(answer, { verb: 'get', kind, namespace, name }) as KindTypes[Name]
  }

  async list<Name extends KindName>(kind: Name, options: ListOptions = {}): Promise<KindTypes[Name][]> {
    const found: KindTypes[Name][] = []
    let from: Cursor | undefined
    do {
      const { objects, next } = await this.page(kind, options, from)
      found.push(...objects)
      from = next
    } while (from !== undefined)
    return found
  }

  async page<Name extends KindName>(kind: Name, options: PageOptions = {}, from?: Cursor): Promise<Page<Name>> {
    return await nextPage(this.#send, kind, options, from)
  }

  async create<Name extends KindName>(kind: Name, object: KindTypes[Name]): Promise<KindTypes[Name]> {
    const { namespace, name } = object.metadata
    const path = creationPath(kind, namespace)
    const attempt = { verb: 'create', kind, namespace, name } as const
    return await this.#write({ method: 'POST', path, body: { type: JSON_TYPE, value: fitted(object) } }, attempt)
  }

  async patch<Name extends KindName>(kind: Name, seen: KindTypes[Name], change: object): Promise<KindTypes[Name]> {
    const { namespace, name } = seen.metadata
    const request = mergePatch(objectPath(kind, namespace, name), seen, change)
    return await this.#write(request, { verb: 'patch', kind, namespace, name })
  }

  /** A kind without the subresource has its status in the object itself. */
  async patchStatus<Name extends KindName>(
    kind: Name,
    seen: KindTypes[Name],
    status: object,
  ): Promise<KindTypes[Name]> {
    if (!KINDS[kind].statusSubresource) return await this.patch(kind, seen, { status })
    const { namespace, name } = seen.metadata
    const request = mergePatch(`${objectPath(kind, namespace, name)}/status`, seen, { status })
    return await this.#write(request, { verb: 'patch status of', kind, namespace, name })
  }

  async delete<Name extends KindName>(kind: Name, seen: KindTypes[Name], precondition?: 'unchanged'): Promise<void> {
    const { namespace, name, uid, resourceVersion } = seen.metadata
    const preconditions = { uid, ...(precondition === 'unchanged' ? { resourceVersion } : {}) }
    const value = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background', preconditions }
    const path = objectPath(kind, namespace, name)
    const answer = await this.#send({ method: 'DELETE', path, body: { type: JSON_TYPE, value } })
    if (saysNotFound(answer)) return
    checkDeletion(answer, { verb: 'delete', kind, namespace, name })
  }

  /** The cast relies on the kind's schema; `objectIn` has checked kind, version and name. */
  async #write<Name extends KindName>(
    request: ApiRequest,
    attempt: Attempt & { kind: Name },
  ): Promise<KindTypes[Name]> {
    const answer = await this.#send(request)
    const object = objectIn(answer, attempt)
    for (const warning of answer.warnings)
      this.#onWarning(`${attempt.verb} ${attempt.kind} ${attempt.name}: ${warning}`)
    return object as KindTypes[Name]
  }
}

const JSON_TYPE = 'application/json'

/** The patch contains the version and the UID that were seen, so that a write based on an older object fails. */
function mergePatch(path: string, seen: KubeObject, change: object): ApiRequest {
  const { resourceVersion, uid } = seen.metadata
  const { metadata } = change as Partial<KubeObject>
  const value = { ...fitted(change), metadata: { ...metadata, resourceVersion, uid } }
  return { method: 'PATCH', path, body: { type: 'application/merge-patch+json', value } }
}
