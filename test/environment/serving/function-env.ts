// The environment variables and mounted files of a function's instance, resolved from its manifest as a kubelet would.

import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Api } from '../kubernetes/api.ts'
import type { Container, EnvVar, FunctionSpec, KeyRef, NamedRef, Volume } from './function-spec.ts'

type InstanceFacts = { pod: string; port: number; node: string; mountFolder: string }
/** The addresses of the Broker's ingress and of the functions in this environment. */
export type Addresses = { router: string; activator: string }
type DataKind = 'ConfigMap' | 'Secret'

/** Read again for every instance, so that the next one sees a changed ConfigMap, as in a cluster. */
export async function resolveEnv(api: Api, spec: FunctionSpec, facts: InstanceFacts): Promise<Record<string, string>> {
  const env: Record<string, string> = {
    PORT: String(facts.port),
    K_SERVICE: spec.name,
    K_CONFIGURATION: spec.name,
    K_REVISION: `${spec.name}-00001`,
    HOSTNAME: facts.pod,
  }
  for (const source of spec.container.envFrom ?? []) {
    const [kind, ref] = source.configMapRef
      ? (['ConfigMap', source.configMapRef] as const)
      : (['Secret', source.secretRef!] as const)
    const data = await readData(api, spec, kind, ref)
    for (const [key, value] of Object.entries(data ?? {})) env[`${source.prefix ?? ''}${key}`] = value.toString('utf8')
  }
  for (const variable of spec.container.env ?? []) {
    const value = await variableValue(api, spec, variable, facts)
    if (value !== undefined) env[variable.name] = value
  }
  return withMounts(env, spec.container, await mountVolumes(api, spec, facts.mountFolder))
}

async function variableValue(
  api: Api,
  spec: FunctionSpec,
  { value, valueFrom }: EnvVar,
  facts: InstanceFacts,
): Promise<string | undefined> {
  if (valueFrom === undefined) return value ?? ''
  if (valueFrom.fieldRef !== undefined) return fieldOf(valueFrom.fieldRef.fieldPath, spec, facts)
  if (valueFrom.configMapKeyRef !== undefined) return await keyOf(api, spec, 'ConfigMap', valueFrom.configMapKeyRef)
  if (valueFrom.secretKeyRef !== undefined) return await keyOf(api, spec, 'Secret', valueFrom.secretKeyRef)
  return undefined
}

async function keyOf(api: Api, spec: FunctionSpec, kind: DataKind, ref: KeyRef): Promise<string | undefined> {
  const data = await readData(api, spec, kind, ref)
  const value = data?.[ref.key]
  if (value === undefined && ref.optional !== true)
    throw new Error(`${spec.name}: ${kind} ${ref.name} has no key ${ref.key}`)
  return value?.toString('utf8')
}

function fieldOf(field: string, spec: FunctionSpec, facts: InstanceFacts): string {
  const fields: Record<string, string> = {
    'metadata.name': facts.pod,
    'metadata.namespace': spec.namespace,
    'metadata.uid': facts.pod,
    'spec.nodeName': facts.node,
    'spec.serviceAccountName': spec.serviceAccount,
    'status.podIP': '127.0.0.1',
    'status.hostIP': '127.0.0.1',
  }
  const value = fields[field]
  if (value === undefined) throw new Error(`${spec.name}: no field ${field} in this environment`)
  return value
}

async function readData(
  api: Api,
  spec: FunctionSpec,
  kind: DataKind,
  ref: NamedRef,
): Promise<Record<string, Buffer> | undefined> {
  const object = await api.get({ apiVersion: 'v1', kind, namespace: spec.namespace, name: ref.name })
  if (object !== undefined) return bytesOf(object, kind)
  if (ref.optional === true) return undefined
  throw new Error(`${spec.name}: ${kind} ${spec.namespace}/${ref.name} does not exist`)
}

function bytesOf(object: LooseObject, kind: DataKind): Record<string, Buffer> {
  const encoding = kind === 'Secret' ? 'base64' : 'utf8'
  const entries = Object.entries((object['data'] ?? {}) as Record<string, string>)
  return Object.fromEntries(entries.map(([key, value]) => [key, Buffer.from(value, encoding)]))
}

/** Writes the volumes' files below `folder`; returns the path of each volume. */
async function mountVolumes(api: Api, spec: FunctionSpec, folder: string): Promise<Map<string, string>> {
  const places = new Map<string, string>()
  for (const volume of spec.volumes) {
    const sources = dataSources(volume)
    if (sources === undefined) continue
    const place = path.join(folder, volume.name)
    await mkdir(place, { recursive: true })
    for (const [kind, ref] of sources) {
      const data = (await readData(api, spec, kind, ref)) ?? {}
      for (const [key, value] of Object.entries(data)) await writeFile(path.join(place, key), value, { mode: 0o600 })
    }
    places.set(volume.name, place)
  }
  return places
}

// Other kinds (emptyDir, hostPath) are not written: the environment's options set the variables that name their paths.
function dataSources(volume: Volume): [DataKind, NamedRef][] | undefined {
  const { secret, configMap, projected } = volume
  if (secret !== undefined) return [['Secret', { ...secret, name: secret.secretName }]]
  if (configMap !== undefined) return [['ConfigMap', configMap]]
  return projected?.sources.flatMap((source): [DataKind, NamedRef][] => {
    if (source.secret !== undefined) return [['Secret', source.secret]]
    return source.configMap === undefined ? [] : [['ConfigMap', source.configMap]]
  })
}

/** Without containers nothing can be mounted at a given path, so variables with such a path are changed to point to the files. */
function withMounts(
  env: Record<string, string>,
  container: Container,
  places: Map<string, string>,
): Record<string, string> {
  for (const mount of container.volumeMounts ?? []) {
    const place = places.get(mount.name)
    if (place === undefined) continue
    for (const [name, value] of Object.entries(env)) {
      if (value === mount.mountPath || value.startsWith(`${mount.mountPath}/`)) {
        env[name] = path.join(place, value.slice(mount.mountPath.length))
      }
    }
  }
  return env
}

/** Service names do not resolve here: a broker's ingress becomes the router, every other Service its path at the activator. */
export function localAddresses(env: Record<string, string>, { router, activator }: Addresses): Record<string, string> {
  const entries = Object.entries(env).map(([name, value]) => {
    const match = /^https?:\/\/([^./]+)\.[^./]+\.svc(?:\.cluster\.local)?(?::\d+)?(\/.*)?$/.exec(value)
    if (match === null) return [name, value]
    const [, service = '', rest = ''] = match
    return [name, service.endsWith('broker-ingress') ? `${router}${rest}` : `${activator}/${service}${rest}`]
  })
  return Object.fromEntries(entries)
}
