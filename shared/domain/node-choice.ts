// Chooses the node for a staged disk whose class waits for a first consumer. The choice follows the scheduler's rules (allowed topologies,
// taints) and external-provisioner's refusals (pkg/controller/topology.go): a node without the driver, or in a place that the class does
// not allow.

import type { CSINode, Node, StorageClass } from '#shared/api/types.ts'
import { beginning } from '#shared/kernel/cut.ts'
import { CSI_DRIVER } from './volume.ts'

/**
 * On a claim: the node that the scheduler chose; on a staging claim, the one that Dormouse chose. The provisioner removes it if it cannot
 * make a disk for that node.
 */
export const SELECTED_NODE_ANNOTATION = 'volume.kubernetes.io/selected-node'

export type Candidates = {
  storageClass: StorageClass
  nodes: readonly Node[]
  csiNodes: readonly CSINode[]
  /** The node that the scheduler wrote on the waiting claim; undefined: none. */
  selected: string | undefined
}

/** The reasons: no node at all, and no node in a place that the class allows. */
type NodeChoice =
  | { kind: 'node'; name: string }
  | { kind: 'none'; reason: 'NoNodeForVolume' | 'NoNodeInTopology'; message: string }

type Labels = Record<string, string>

/** A node on which the driver runs. */
type Seat = { name: string; node: Node; labels: Labels; topologyKeys: readonly string[] }

/** Taints that repel a Pod without tolerations. */
const REPELLING = ['NoSchedule', 'NoExecute']
/** The message must fit into a status, however many zones a class allows. */
const MOST_WORDS = 300

/** The first suitable node by name: the claims of one Pod are restored one by one, and their disks must end up in the same zone. */
export function chooseNode(candidates: Candidates): NodeChoice {
  const { storageClass, selected } = candidates
  const seats = seatsOf(candidates)
  const usesTopology = seats.some(({ topologyKeys }) => topologyKeys.length > 0)
  const served = seats.filter((seat) => !usesTopology || knowsItsPlace(seat))
  const allowed = served.filter((seat) => isAllowed(seat, storageClass))
  // The scheduler has chosen this node for a Pod, which may tolerate taints that others do not.
  const given = allowed.find(({ name }) => name === selected)
  if (given !== undefined) return { kind: 'node', name: given.name }
  const chosen = allowed.find(({ node }) => takesPods(node))
  if (chosen !== undefined) return { kind: 'node', name: chosen.name }
  const counts = `${count(candidates.nodes.length, 'node')}: ${seats.length} with ${CSI_DRIVER}, ${allowed.length} of them in an allowed place, none of these is ready and schedulable without a taint`
  return none(storageClass, counts)
}

function none(storageClass: StorageClass, counts: string): NodeChoice {
  const { name } = storageClass.metadata
  const topology = topologyText(storageClass)
  const waits = `StorageClass ${name} waits for its first consumer`
  return topology === ''
    ? { kind: 'none', reason: 'NoNodeForVolume', message: `${waits}, and no node can have its disk (${counts})` }
    : {
        kind: 'none',
        reason: 'NoNodeInTopology',
        message: `${waits} and allows only ${topology}, where no node can have its disk (${counts})`,
      }
}

/**
 * Nodes whose CSINode lists the driver. An `allocatable.count` of 0 means that the driver attaches nothing there. Sorted, so that the
 * choice is the same each time.
 */
function seatsOf({ nodes, csiNodes }: Candidates): Seat[] {
  const driverOf = new Map(csiNodes.map((one) => [one.metadata.name, driverIn(one)]))
  return nodes
    .flatMap((node) => {
      const { name, labels = {} } = node.metadata
      const driver = driverOf.get(name)
      if (driver === undefined || driver.allocatable?.count === 0) return []
      return [{ name, node, labels, topologyKeys: driver.topologyKeys ?? [] }]
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

type Driver = { name: string; topologyKeys?: string[] | null; allocatable?: { count?: number } }

function driverIn(csiNode: CSINode): Driver | undefined {
  const drivers: Driver[] = csiNode.spec?.drivers ?? []
  return drivers.find(({ name }) => name === CSI_DRIVER)
}

/** The driver has reported its topology keys there, and the node has each as a label. */
function knowsItsPlace({ topologyKeys, labels }: Seat): boolean {
  return topologyKeys.length > 0 && topologyKeys.every((key) => Object.hasOwn(labels, key))
}

type Term = { matchLabelExpressions?: { key: string; values?: string[] }[] | null }

function termsOf(storageClass: StorageClass): Term[] {
  return storageClass.allowedTopologies ?? []
}

/** One of the terms must match completely. A key that the driver has not reported matches none of its places. */
function isAllowed({ labels, topologyKeys }: Seat, storageClass: StorageClass): boolean {
  const terms = termsOf(storageClass)
  const matches = ({ matchLabelExpressions }: Term) => {
    const expressions = matchLabelExpressions ?? []
    // An empty term matches nothing (component-helpers, MatchTopologySelectorTerms).
    if (expressions.length === 0) return false
    return expressions.every(({ key, values = [] }) => topologyKeys.includes(key) && values.includes(labels[key] ?? ''))
  }
  return terms.length === 0 || terms.some(matches)
}

/** Empty: the class allows every place. */
function topologyText(storageClass: StorageClass): string {
  const terms = termsOf(storageClass).map(({ matchLabelExpressions }) =>
    (matchLabelExpressions ?? []).map(({ key, values = [] }) => `${key} in [${values.join(', ')}]`).join(' and '),
  )
  const text = terms.join(' or ')
  return text.length > MOST_WORDS ? `${beginning(text, MOST_WORDS)}…` : text
}

function takesPods(node: Node): boolean {
  const taints: { effect?: string }[] = node.spec?.taints ?? []
  return (
    node.metadata.deletionTimestamp === undefined &&
    node.spec?.unschedulable !== true &&
    !taints.some(({ effect = '' }) => REPELLING.includes(effect)) &&
    isReady(node)
  )
}

function isReady(node: Node): boolean {
  const conditions: { type: string; status: string }[] = node.status?.conditions ?? []
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`
}
