// The Kubernetes API over REST: generic requests by the table of kinds, no generated client.

import { KINDS, type KindName, type KubeObject } from '#shared/api/kinds.ts'
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

export type ClusterOptions = TransportOptions &
  AccessOptions & {
    /** What the server says about a request that it took, such as a field that it does not know and dropped. */
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

  async read(kind: KindName, namespace: string | undefined, name: string): Promise<KubeObject | undefined> {
    const answer = await this.#send({ method: 'GET', path: objectPath(kind, namespace, name) })
    if (saysNotFound(answer)) return undefined
    return objectIn(answer, { verb: 'get', kind, namespace, name })
  }

  async list(kind: KindName, options: ListOptions = {}): Promise<KubeObject[]> {
    const found: KubeObject[] = []
    let from: Cursor | undefined
    do {
      const { objects, next } = await this.page(kind, options, from)
      found.push(...objects)
      from = next
    } while (from !== undefined)
    return found
  }

  async page(kind: KindName, options: PageOptions = {}, from?: Cursor): Promise<Page> {
    return await nextPage(this.#send, kind, options, from)
  }

  async create(kind: KindName, object: KubeObject): Promise<KubeObject> {
    const { namespace, name } = object.metadata
    const path = creationPath(kind, namespace)
    const attempt: Attempt = { verb: 'create', kind, namespace, name }
    return await this.#write({ method: 'POST', path, body: { type: JSON_TYPE, value: fitted(object) } }, attempt)
  }

  async patch(kind: KindName, seen: KubeObject, change: object): Promise<KubeObject> {
    const { namespace, name } = seen.metadata
    const request = mergePatch(objectPath(kind, namespace, name), seen, change)
    return await this.#write(request, { verb: 'patch', kind, namespace, name })
  }

  /** A kind without the subresource keeps its status in the object itself. */
  async patchStatus(kind: KindName, seen: KubeObject, status: object): Promise<KubeObject> {
    if (!KINDS[kind].statusSubresource) return await this.patch(kind, seen, { status })
    const { namespace, name } = seen.metadata
    const request = mergePatch(`${objectPath(kind, namespace, name)}/status`, seen, { status })
    return await this.#write(request, { verb: 'patch status of', kind, namespace, name })
  }

  async delete(kind: KindName, seen: KubeObject, precondition?: 'unchanged'): Promise<void> {
    const { namespace, name, uid, resourceVersion } = seen.metadata
    const preconditions = { uid, ...(precondition === 'unchanged' ? { resourceVersion } : {}) }
    const value = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background', preconditions }
    const path = objectPath(kind, namespace, name)
    const answer = await this.#send({ method: 'DELETE', path, body: { type: JSON_TYPE, value } })
    if (saysNotFound(answer)) return
    checkDeletion(answer, { verb: 'delete', kind, namespace, name })
  }

  async #write(request: ApiRequest, attempt: Attempt): Promise<KubeObject> {
    const answer = await this.#send(request)
    const object = objectIn(answer, attempt)
    for (const warning of answer.warnings)
      this.#onWarning(`${attempt.verb} ${attempt.kind} ${attempt.name}: ${warning}`)
    return object
  }
}

const JSON_TYPE = 'application/json'

/** The version and the UID that were seen go along, so that a write which decided on something older fails. */
function mergePatch(path: string, seen: KubeObject, change: object): ApiRequest {
  const { resourceVersion, uid } = seen.metadata
  const { metadata } = change as Partial<KubeObject>
  const value = { ...fitted(change), metadata: { ...metadata, resourceVersion, uid } }
  return { method: 'PATCH', path, body: { type: 'application/merge-patch+json', value } }
}
