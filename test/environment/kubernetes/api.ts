// A small client of the Kubernetes API for the environment and the tests. It does not use the adapter that the tests check.

import { Agent } from 'node:https'
import type { LooseObject } from '#test/support/loose-object.ts'
import { type Answer, openStream, request } from './http.ts'

type ObjectRef = { apiVersion: string; kind: string; namespace?: string; name: string }
export type WatchEvent = { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'; object: LooseObject }
type ApiOptions = { server: string; caPem: string; token: string }

const AWAY_RETRY_MS = 200
/** The API server closes a connection that was idle for 90 s; a busy process could send a call into it before it reads that. */
export const FREE_SOCKET_MS = 30_000

type Resource = { name: string; kind: string; namespaced: boolean }

export class ApiError extends Error {
  readonly status: number
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.reason = reason
  }
}

export class Api {
  readonly options: ApiOptions
  /** How long a call is repeated while the API server is away, for tests that stop it. A write may then happen twice. */
  patienceMs = 0
  private readonly agent: Agent
  private readonly discovered = new Map<string, Promise<Resource[]>>()

  constructor(options: ApiOptions) {
    this.options = options
    this.agent = new Agent({ keepAlive: true, ca: options.caPem, timeout: FREE_SOCKET_MS })
  }

  async get(ref: ObjectRef): Promise<LooseObject | undefined> {
    const answer = await this.send('GET', await this.pathOf(ref))
    return answer.status === 404 ? undefined : this.read(answer, `get ${describe(ref)}`)
  }

  async list(apiVersion: string, kind: string, namespace?: string, query = ''): Promise<LooseObject[]> {
    const path = await this.collection(apiVersion, kind, namespace)
    const list = this.read(await this.send('GET', `${path}${query}`), `list ${kind}`)
    // Items of a list carry neither apiVersion nor kind.
    return (list['items'] as LooseObject[]).map((item) => ({ ...item, apiVersion, kind }))
  }

  async create(object: LooseObject): Promise<LooseObject> {
    const path = await this.collection(object.apiVersion, object.kind, object.metadata.namespace)
    return this.read(await this.send('POST', path, object), `create ${describe(refOf(object))}`)
  }

  /** Server-side apply: creates or updates, and takes over fields that other managers own. */
  async apply(object: LooseObject): Promise<LooseObject> {
    const path = `${await this.pathOf(refOf(object))}?fieldManager=dormouse-environment&force=true`
    const answer = await this.send('PATCH', path, object, 'application/apply-patch+yaml')
    return this.read(answer, `apply ${describe(refOf(object))}`)
  }

  /** JSON merge patch; `subresource` such as `status`. */
  async patch(ref: ObjectRef, change: object, subresource?: string): Promise<LooseObject> {
    const path = `${await this.pathOf(ref)}${subresource === undefined ? '' : `/${subresource}`}`
    return this.read(await this.send('PATCH', path, change, 'application/merge-patch+json'), `patch ${describe(ref)}`)
  }

  /** An object that does not exist counts as deleted. */
  async delete(ref: ObjectRef): Promise<void> {
    const answer = await this.send('DELETE', await this.pathOf(ref))
    if (answer.status !== 404) this.read(answer, `delete ${describe(ref)}`)
  }

  /** Creates a subresource, such as `token` of a ServiceAccount. */
  async createSubresource(ref: ObjectRef, subresource: string, body: object): Promise<LooseObject> {
    const answer = await this.send('POST', `${await this.pathOf(ref)}/${subresource}`, body)
    return this.read(answer, `create ${subresource} of ${describe(ref)}`)
  }

  /** One watch, from `query`'s resourceVersion on; resolves when the server ends it, rejects when it breaks. */
  async watch(
    path: string,
    query: Record<string, string>,
    onEvent: (event: WatchEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const url = `${this.options.server}${path}?${new URLSearchParams({ watch: 'true', ...query })}`
    await openStream(url, { agent: this.agent, headers: this.headers(), signal }, (line) => onEvent(JSON.parse(line)))
  }

  async collection(apiVersion: string, kind: string, namespace?: string): Promise<string> {
    const resource = await this.resourceOf(apiVersion, kind)
    const scope = namespace !== undefined && resource.namespaced ? `/namespaces/${namespace}` : ''
    return `${groupPath(apiVersion)}${scope}/${resource.name}`
  }

  async send(method: string, path: string, body?: object, contentType = 'application/json'): Promise<Answer> {
    const deadlineMs = performance.now() + this.patienceMs
    for (;;) {
      const answer = await this.sendOnce(method, path, body, contentType).catch((error: Error) => error)
      // 429: the API server runs, but is still filling its caches.
      const isAway = answer instanceof Error || [429, 500, 503].includes(answer.status)
      if (!isAway || performance.now() > deadlineMs) {
        if (answer instanceof Error) throw answer
        return answer
      }
      await new Promise((resolve) => setTimeout(resolve, AWAY_RETRY_MS))
    }
  }

  private async sendOnce(method: string, path: string, body: object | undefined, contentType: string): Promise<Answer> {
    return await request(`${this.options.server}${path}`, {
      method,
      agent: this.agent,
      headers: { ...this.headers(), ...(body === undefined ? {} : { 'content-type': contentType }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  }

  close(): void {
    this.agent.destroy()
  }

  private async pathOf(ref: ObjectRef): Promise<string> {
    return `${await this.collection(ref.apiVersion, ref.kind, ref.namespace)}/${ref.name}`
  }

  private async resourceOf(apiVersion: string, kind: string): Promise<Resource> {
    const known = this.discovered.get(apiVersion) ?? this.discover(apiVersion)
    this.discovered.set(apiVersion, known)
    // A CRD may be added after the first discovery, or its whole group: neither answer counts for ever.
    const resources = await known.catch((error: unknown) => {
      this.discovered.delete(apiVersion)
      throw error
    })
    const resource = resources.find((one) => one.kind === kind && !one.name.includes('/'))
    if (resource !== undefined) return resource
    this.discovered.delete(apiVersion)
    throw new ApiError(404, 'NoKind', `the API server serves no ${kind} in ${apiVersion}`)
  }

  private async discover(apiVersion: string): Promise<Resource[]> {
    const list = this.read(await this.send('GET', groupPath(apiVersion)), `discover ${apiVersion}`)
    return list['resources'] as Resource[]
  }

  private headers(): Record<string, string> {
    return {
      authorization: `Bearer ${this.options.token}`,
      accept: 'application/json',
      'user-agent': 'dormouse-environment',
    }
  }

  private read(answer: Answer, what: string): LooseObject {
    const body = answer.text === '' ? {} : JSON.parse(answer.text)
    if (answer.status < 300) return body
    throw new ApiError(answer.status, body.reason ?? '', `${what}: ${answer.status} ${body.message ?? ''}`)
  }
}

export function refOf(object: LooseObject): ObjectRef {
  const { name, namespace } = object.metadata
  return { apiVersion: object.apiVersion, kind: object.kind, name, ...(namespace === undefined ? {} : { namespace }) }
}

function describe(ref: ObjectRef): string {
  return `${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`
}

function groupPath(apiVersion: string): string {
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
}
