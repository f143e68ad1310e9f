// Gives every call to a server a short name that is the same in each run: `PATCH uploads/status phase=InProgress`,
// `PUT packs/`, `SOAP VslmDeleteSnapshot_Task`. It never contains names of objects, ids or times.

export type ServerName = 'kubernetes' | 's3' | 'vcenter'
type CallName = { name: string; writes: boolean }

export function nameCall(server: ServerName, method: string, url: string, body: Buffer): CallName {
  if (server === 's3') return nameS3(method, url)
  if (server === 'vcenter') return nameSoap(body)
  return nameKubernetes(method, url, body)
}

// `/<bucket>/[<prefix>/]dormouse/<folder>/…`: the folder says what is written. A query such as `?uploads` is a verb of its own.
function nameS3(method: string, url: string): CallName {
  const { pathname, searchParams } = new URL(url, 'http://s3')
  const key = pathname.replace(/^\/[^/]*\/?/, '').replace(/^(?:.*\/)?dormouse\//, '')
  const folder = key.includes('/') ? `${key.split('/')[0]}/` : key
  const verbs = ['uploads', 'uploadId', 'delete'].filter((one) => searchParams.has(one)).map((one) => `?${one}`)
  return { name: `${method} ${folder}${verbs.join('')}`.trim(), writes: !['GET', 'HEAD'].includes(method) }
}

const SOAP_METHOD = /<(?:[\w-]+:)?Body[^>]*>\s*<(?:[\w-]+:)?(\w+)/
const SOAP_WRITE = /(?:_Task$|ControlFlags$|Metadata$|^Cns(?!Query))/

function nameSoap(body: Buffer): CallName {
  const method = SOAP_METHOD.exec(body.toString('utf8'))?.[1] ?? 'unknown'
  return { name: `SOAP ${method}`, writes: SOAP_WRITE.test(method) }
}

function nameKubernetes(method: string, url: string, body: Buffer): CallName {
  const { pathname, searchParams } = new URL(url, 'http://kubernetes')
  const [resource = pathname, object = '', sub] = placeIn(pathname)
  const verb = searchParams.has('watch') ? 'WATCH' : method
  const writes = !['GET', 'HEAD', 'WATCH'].includes(verb)
  const change = writes && method !== 'DELETE' ? parsed(body) : {}
  const said = resource === 'leases' ? leaseSaying(object, change) : sayings(change)
  return { name: `${verb} ${resource}${sub === undefined ? '' : `/${sub}`}${said}`, writes }
}

/** `/apis/<group>/<version>[/namespaces/<ns>]/<resource>[/<name>[/<subresource>]]`, and the same below `/api/v1`. */
function placeIn(pathname: string): (string | undefined)[] {
  const parts = pathname.split('/').filter((part) => part !== '')
  const rest = parts.slice(parts[0] === 'apis' ? 3 : 2)
  return rest[0] === 'namespaces' && rest.length > 2 ? rest.slice(2) : rest
}

function sayings({ metadata = {}, status = {}, spec = {} }: Change): string {
  const step = metadata.labels?.['dormouse.dev/step']
  const words = [
    ...(typeof status.phase === 'string' ? [`phase=${status.phase}`] : []),
    ...(step === undefined ? [] : [`step=${step}`]),
    ...(metadata.finalizers === undefined ? [] : [`finalizers=${metadata.finalizers?.length ?? 0}`]),
    ...(spec.persistentVolumeReclaimPolicy === undefined ? [] : [`reclaim=${spec.persistentVolumeReclaimPolicy}`]),
    ...(spec.claimRef === undefined ? [] : ['claimRef']),
  ]
  const progress = words.length === 0 && status.progress !== undefined ? ['progress'] : []
  return [...words, ...progress].map((word) => ` ${word}`).join('')
}

/** A POST has the name of the Lease in its body, other requests have it in their address. */
function leaseSaying(object: string, { metadata = {}, spec }: Change): string {
  const name = object === '' ? (metadata.name ?? '') : object
  const whose = /^(?:\w+-lease|dormouse-slot)/.exec(name)?.[0] ?? ''
  const does = spec?.holderIdentity === undefined ? '' : spec.holderIdentity === null ? 'free' : 'hold'
  return [whose, does].map((word) => (word === '' ? '' : ` ${word}`)).join('')
}

type Change = {
  metadata?: { name?: string; labels?: Record<string, string>; finalizers?: unknown[] | null }
  status?: { phase?: string; progress?: unknown }
  spec?: { holderIdentity?: string | null; persistentVolumeReclaimPolicy?: string; claimRef?: unknown }
}

function parsed(body: Buffer): Change {
  try {
    return JSON.parse(body.toString('utf8')) as Change
  } catch {
    return {}
  }
}
