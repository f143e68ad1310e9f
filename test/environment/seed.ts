// Fills the fresh cluster with what a user has before installing Dormouse, and with what `kubectl apply -k config` adds.

import { randomBytes } from 'node:crypto'
import type { LooseObject } from '#test/support/loose-object.ts'
import { type Api, refOf } from './kubernetes/api.ts'
import { loadManifests } from './kubernetes/manifests.ts'
import { VELERO_NAMESPACE } from './options.ts'
import { DELAY_KEY, DRIVER } from './storage/csi.ts'
import type { S3Server } from './storage/s3.ts'

export const NODE_NAME = 'dormouse-node-1'
export const CREDENTIALS_SECRET = 'cloud-credentials'
export const VSPHERE_SECRET = 'velero-vsphere-config-secret'
export const REPOSITORY_SECRET = 'dormouse-repository-key'

/** Classes that bind at once, when a Pod comes, and never. */
export const STORAGE_CLASSES = { immediate: 'vsphere', waiting: 'vsphere-wait', never: 'vsphere-never' } as const

export type RepositoryKey = { password: string; recoveryPassphrase: string }

/** Applies CRDs first, and the rest when they are served: the API server refuses an object of an unknown kind. */
export async function applyAll(api: Api, objects: LooseObject[]): Promise<void> {
  const crds = objects.filter((object) => object.kind === 'CustomResourceDefinition')
  await Promise.all(crds.map((crd) => api.apply(crd)))
  await Promise.all(crds.map((crd) => waitUntilServed(api, crd)))
  const rest = objects.filter((object) => object.kind !== 'CustomResourceDefinition')
  await createNamespaces(api, rest)
  const accounts = rest.filter((object) => object.kind === 'ServiceAccount')
  await Promise.all(accounts.map((account) => api.apply(account)))
  const others = rest.filter((object) => !['Namespace', 'ServiceAccount'].includes(object.kind))
  await Promise.all(others.map((object) => api.apply(object)))
}

/** Knative's own CRDs, without their conversion webhooks: no Knative runs here that would answer them. */
export async function knativeCrds(folder: string, kubectl: string): Promise<LooseObject[]> {
  const crds = await loadManifests(folder, kubectl)
  return crds.map((crd) => ({ ...crd, spec: { ...crd['spec'], conversion: { strategy: 'None' } } }))
}

/** `vsphere`: text of the vSphere configuration. */
export async function seedCluster(api: Api, s3: S3Server, vsphere: string, key: RepositoryKey): Promise<void> {
  await api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: VELERO_NAMESPACE } })
  await Promise.all([
    api.apply(secret(CREDENTIALS_SECRET, { cloud: s3.credentialsText() })),
    api.apply(secret(VSPHERE_SECRET, { 'csi-vsphere.conf': vsphere })),
    api.apply(secret(REPOSITORY_SECRET, { password: key.password, 'recovery-passphrase': key.recoveryPassphrase })),
    api.apply(storageClass(STORAGE_CLASSES.immediate, 'Immediate')),
    api.apply(storageClass(STORAGE_CLASSES.waiting, 'WaitForFirstConsumer')),
    api.apply(storageClass(STORAGE_CLASSES.never, 'Immediate', { [DELAY_KEY]: 'never' })),
    applyNode(api, { name: NODE_NAME, labels: { 'dormouse.dev/vddk': 'true' } }),
  ])
}

export function newRepositoryKey(): RepositoryKey {
  return { password: randomBytes(24).toString('base64url'), recoveryPassphrase: randomBytes(24).toString('base64url') }
}

export function secret(name: string, values: Record<string, string>, namespace = VELERO_NAMESPACE): LooseObject {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData: values }
}

/** All objects under the places, in order. */
export async function loadAll(places: string[], kubectl: string): Promise<LooseObject[]> {
  return (await Promise.all(places.map((place) => loadManifests(place, kubectl)))).flat()
}

export function isKnative(object: LooseObject): boolean {
  return /\.knative\.dev\//.test(object.apiVersion)
}

async function createNamespaces(api: Api, objects: LooseObject[]): Promise<void> {
  const declared = objects.filter((object) => object.kind === 'Namespace')
  const named = new Set(objects.flatMap((object) => object.metadata.namespace ?? []))
  for (const { metadata } of declared) named.delete(metadata.name)
  const implied = [...named].map((name): LooseObject => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }))
  await Promise.all([...declared, ...implied].map((namespace) => api.apply(namespace)))
}

async function waitUntilServed(api: Api, crd: LooseObject): Promise<void> {
  const { group, names, versions } = crd['spec']
  for (const version of versions as { name: string; served: boolean }[]) {
    if (!version.served) continue
    const place = `/apis/${group}/${version.name}/${names.plural}?limit=1`
    for (let tries = 0; (await api.send('GET', place)).status !== 200; tries++) {
      if (tries > 400) throw new Error(`${crd.metadata.name} is not served after 20 s`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

export function storageClass(
  name: string,
  volumeBindingMode: string,
  parameters: Record<string, string> = {},
): LooseObject {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner: DRIVER,
    parameters,
    reclaimPolicy: 'Delete',
    volumeBindingMode,
    allowVolumeExpansion: true,
  }
}

type NewNode = {
  name: string
  labels?: Record<string, string>
  taints?: object[]
  /** Keys of the topology labels that the driver has; null: the driver does not run there. */
  topologyKeys?: string[] | null
}

/** The node has no kubelet. It can be read and named, and its status says that it is ready, so that a volume may be made for it. */
export async function applyNode(
  api: Api,
  { name, labels = {}, taints = [], topologyKeys = [] }: NewNode,
): Promise<void> {
  const node = await api.apply({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...labels } },
  })
  if (topologyKeys !== null) {
    const drivers = [{ name: DRIVER, nodeID: name, ...(topologyKeys.length === 0 ? {} : { topologyKeys }) }]
    await api.apply({ apiVersion: 'storage.k8s.io/v1', kind: 'CSINode', metadata: { name }, spec: { drivers } })
  }
  const ready = { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'there is no kubelet here' }
  const since = {
    lastTransitionTime: node.metadata.creationTimestamp,
    lastHeartbeatTime: node.metadata.creationTimestamp,
  }
  await api.patch(refOf(node), { status: { conditions: [{ ...ready, ...since }] } }, 'status')
  // Admission (TaintNodesByCondition) taints each new node as not ready; the controller that removes the taint does not run here.
  await api.patch(refOf(node), { spec: { taints } })
}
