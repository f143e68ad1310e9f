// A stand-in for an API server with ten thousand objects, two thousand of them with a megabyte. It generates pages when they are asked for. It
// is strict: a request that it does not know, or that a real server would refuse, is an error that fails the test.

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { Authority } from '#test/environment/kubernetes/certificates.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

/** Made again for each answer, so that the megabytes are not kept in memory. */
export type Made = { namespace: string; name: string; make: () => LooseObject }
export type Collections = Partial<Record<KindName, Made[]>>

/** A real server accepts a larger limit; the test also shows that no caller asks for so much at once. */
const MOST_LIMIT = 128

export class ManyObjects {
  readonly authority = new Authority()
  readonly problems: string[] = []
  readonly lists: Record<string, number> = {}
  /** Kinds whose lists fail. */
  readonly broken = new Set<KindName>()
  longestPageBytes = 0
  readonly #collections: Collections
  readonly #leases = new Map<string, LooseObject>()
  #version = 1000
  readonly #server = createServer(pemOf(this.authority))

  constructor(collections: Collections) {
    this.#collections = collections
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async start(): Promise<void> {
    this.#server.on('request', (request, response) => void this.#answer(request, response))
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const { method = '', url = '' } = request
    const body = Buffer.concat(await request.toArray()).toString()
    const { pathname, searchParams } = new URL(url, this.url)
    const found = placeIn(pathname)
    if (found === undefined) return this.#refuse(response, `${method} ${url} is of no kind`)
    const { kind, namespace, name } = found
    if (method === 'GET' && name === undefined) return this.#list(response, kind, namespace, searchParams)
    if (kind === 'Lease') return this.#lease(response, method, namespace ?? '', name, body)
    if (kind === 'Event' && method === 'POST') return send(response, 201, JSON.parse(body))
    return this.#refuse(response, `${method} ${url} is not asked for by a sweep that only wakes`)
  }

  #list(response: ServerResponse, kind: KindName, namespace: string | undefined, query: URLSearchParams): unknown {
    this.lists[kind] = (this.lists[kind] ?? 0) + 1
    if (this.broken.has(kind))
      return send(response, 500, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message: 'broken by the test' })
    const limit = Number(query.get('limit'))
    if (!(limit >= 1 && limit <= MOST_LIMIT)) return this.#refuse(response, `limit ${limit} of ${kind}`)
    if (namespace === undefined && (kind === 'Upload' || kind === 'Download' || kind === 'Lease'))
      return this.#refuse(response, `${kind}s of all namespaces: its rights end at the Velero namespace`)
    const left = this.#selected(kind, namespace, query).filter(
      (each) => placeText(each) > (query.get('continue') ?? ''),
    )
    const items = left.slice(0, limit)
    const more = left.length > items.length ? placeText(items.at(-1) as Made) : ''
    response.setHeader('content-type', 'application/json')
    const head = JSON.stringify({ kind: `${kind}List`, apiVersion: KINDS[kind].apiVersion }).slice(0, -1)
    response.write(`${head},"metadata":{"resourceVersion":"1","continue":${JSON.stringify(more)}},"items":[`)
    void this.#sendItems(response, items)
  }

  /** Sends objects as fast as the reader takes them, and stops when the reader hangs up, like a server that has all of them. */
  async #sendItems(response: ServerResponse, items: Made[]): Promise<void> {
    let bytes = 0
    const closed = new Promise((resolve) => response.once('close', resolve))
    for (const [index, item] of items.entries()) {
      if (response.destroyed) return
      const text = `${index === 0 ? '' : ','}${JSON.stringify(item.make())}`
      bytes += text.length
      if (!response.write(text)) await Promise.race([new Promise((taken) => response.once('drain', taken)), closed])
    }
    if (!response.destroyed) this.longestPageBytes = Math.max(this.longestPageBytes, bytes)
    response.end(']}')
  }

  #selected(kind: KindName, namespace: string | undefined, query: URLSearchParams): Made[] {
    const selector = query.get('labelSelector')
    const without = (query.get('fieldSelector') ?? '')
      .split(',')
      .map((rule) => rule.replace('metadata.namespace!=', ''))
    if (kind === 'Lease') return this.#selectedLeases(selector)
    const all = this.#collections[kind] ?? []
    const here = all.filter((each) => namespace === undefined || each.namespace === namespace)
    if (selector === null) return here.filter((each) => !without.includes(each.namespace))
    // None of these objects waits in a queue, or was staged in Velero's namespace.
    const isStaging =
      kind === 'PersistentVolumeClaim' && selector === 'dormouse.dev/clone-uid' && namespace === 'velero'
    if (!isStaging && !selector.startsWith('dormouse.dev/step=queued')) this.problems.push(`selector ${selector}`)
    return []
  }

  #selectedLeases(selector: string | null): Made[] {
    if (selector !== null && selector !== 'dormouse.dev/slot') this.problems.push(`selector ${selector}`)
    const leases = [...this.#leases.values()].filter(
      ({ metadata }) => selector === null || metadata.labels?.['dormouse.dev/slot'] !== undefined,
    )
    return leases.map((lease) => ({ namespace: 'velero', name: lease.metadata.name, make: () => lease }))
  }

  #lease(response: ServerResponse, method: string, namespace: string, name: string | undefined, body: string): unknown {
    const given = body === '' ? undefined : JSON.parse(body)
    const key = name ?? given?.metadata.name
    const stands = this.#leases.get(key)
    if (namespace !== 'velero') return this.#refuse(response, `a Lease in ${namespace}`)
    if (method === 'GET') return stands === undefined ? missing(response) : send(response, 200, stands)
    if (method === 'POST' && stands !== undefined)
      return send(response, 409, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'AlreadyExists' })
    if (method === 'PATCH' && given.metadata.resourceVersion !== stands?.metadata.resourceVersion)
      return send(response, 409, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Conflict' })
    if (method !== 'POST' && method !== 'PATCH') return this.#refuse(response, `${method} of a Lease`)
    const metadata = { ...stands?.metadata, ...given.metadata, uid: key, resourceVersion: String(++this.#version) }
    const spec = Object.fromEntries(
      Object.entries({ ...stands?.['spec'], ...given.spec }).filter(([, value]) => value !== null),
    )
    const lease = { apiVersion: KINDS.Lease.apiVersion, kind: 'Lease', metadata, spec }
    this.#leases.set(key, lease)
    send(response, method === 'POST' ? 201 : 200, lease)
  }

  #refuse(response: ServerResponse, problem: string): void {
    this.problems.push(problem)
    send(response, 400, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message: problem })
  }
}

function pemOf(authority: Authority): { cert: string; key: string } {
  const { certPem: cert, keyPem: key } = authority.serverCertificate(['127.0.0.1'])
  return { cert, key }
}

function placeText({ namespace, name }: Made): string {
  return `${namespace}/${name}`
}

function placeIn(
  path: string,
): { kind: KindName; namespace: string | undefined; name: string | undefined } | undefined {
  const [, root, rest = ''] = /^\/(api\/v1|apis\/[^/]+\/[^/]+)\/(.+)$/.exec(path) ?? []
  const apiVersion = root === 'api/v1' ? 'v1' : root?.replace('apis/', '')
  const [, namespace, plural = '', name] = /^(?:namespaces\/([^/]+)\/)?([^/]+)(?:\/([^/]+))?$/.exec(rest) ?? []
  const kinds = Object.entries(KINDS) as [KindName, (typeof KINDS)[KindName]][]
  const found = kinds.find(([, info]) => info.apiVersion === apiVersion && info.plural === plural)
  return found && { kind: found[0], namespace, name }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function missing(response: ServerResponse): void {
  send(response, 404, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound' })
}
