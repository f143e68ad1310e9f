// How external-provisioner treats the node that a claim names: it refuses the node, or makes the volume in a place. Written after its
// pkg/controller/topology.go (with --strict-topology, as vSphere's manifest has it), independently of Dormouse's own choice.

import type { LooseObject } from '#test/support/loose-object.ts'

export type Place = Record<string, string>
type Term = { matchLabelExpressions?: { key: string; values: string[] }[] }
type CsiDriverInfo = { name: string; topologyKeys?: string[] | null }

type Asked = {
  driver: string
  storageClass: LooseObject
  node: LooseObject | undefined
  csiNode: LooseObject | undefined
  /** A driver that reports topology on one node reports it on all. */
  usesTopology: boolean
}

/** Returns the place, or the message with which it refuses. */
export function placeOfNode({ driver, storageClass, node, csiNode, usesTopology }: Asked): Place | string {
  if (node === undefined) return 'failed to get target node: not found'
  const { name, labels = {} } = node.metadata
  const drivers: CsiDriverInfo[] = csiNode?.['spec']?.drivers ?? []
  const info = drivers.find((one) => one.name === driver)
  if (csiNode === undefined || info === undefined) return `error getting CSINode for selected node "${name}": no driver`
  const keys = info.topologyKeys ?? []
  const terms: Term[] = storageClass['allowedTopologies'] ?? []
  if (keys.length === 0 && (usesTopology || terms.length > 0)) return `no topology key found on CSINode ${name}`
  if (keys.some((key) => labels[key] === undefined))
    return `topology labels from selected node ${name} does not match topology keys from CSINode`
  const place = Object.fromEntries(keys.map((key) => [key, labels[key]!]))
  if (terms.length > 0 && !flatten(terms).some((allowed) => isSubset(allowed, place)))
    return `selected node '${name}' topology '${JSON.stringify(place)}' is not in allowed topologies: ${JSON.stringify(terms)}`
  return place
}

export function usesTopology(csiNodes: readonly LooseObject[], driver: string): boolean {
  const infos = csiNodes.flatMap(({ spec }) => (spec?.drivers ?? []) as CsiDriverInfo[])
  return infos.some(({ name, topologyKeys }) => name === driver && (topologyKeys ?? []).length > 0)
}

/** Topology of the volume that is made there; undefined: every node reaches it. */
export function nodeAffinityOf(place: Place): object | undefined {
  const matchExpressions = Object.entries(place).map(([key, value]) => ({ key, operator: 'In', values: [value] }))
  return matchExpressions.length === 0 ? undefined : { required: { nodeSelectorTerms: [{ matchExpressions }] } }
}

/** Each combination of a term's values. An empty term gives none. */
function flatten(terms: Term[]): Place[] {
  return terms.flatMap(({ matchLabelExpressions = [] }) => {
    if (matchLabelExpressions.length === 0) return []
    const widen = (places: Place[], { key, values }: { key: string; values: string[] }) =>
      places.flatMap((place) => values.map((value) => ({ ...place, [key]: value })))
    return matchLabelExpressions.reduce(widen, [{}])
  })
}

function isSubset(part: Place, whole: Place): boolean {
  return Object.entries(part).every(([key, value]) => whole[key] === value)
}
