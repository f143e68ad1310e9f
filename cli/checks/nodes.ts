// Is there a node on which upload and download can run?

import type { Node } from '#shared/api/types.ts'
import { type Finding, ok, problem, problemOf, warning } from '../finding.ts'

const VDDK_LABEL = 'dormouse.dev/vddk'

export async function checkNodes(deps: { listNodes: () => Promise<Node[]> }): Promise<Finding[]> {
  try {
    const nodes = await deps.listNodes()
    const labelled = nodes.filter(({ metadata }) => metadata.labels?.[VDDK_LABEL] === 'true')
    if (labelled.length === 0) return [noNode(nodes.length)]
    const usable = labelled.filter(isUsable)
    if (usable.length > 0)
      return [ok('nodes', '', `${usable.length} of ${nodes.length} may run transfers: ${names(usable)}`)]
    const fix = 'kubectl uncordon NODE, or label another one'
    return [warning('nodes', '', `no node with ${VDDK_LABEL}=true is ready now: ${names(labelled)}`, fix)]
  } catch (error) {
    return [problemOf('nodes', '', error)]
  }
}

function noNode(count: number): Finding {
  const text = `none of ${count} nodes is labelled ${VDDK_LABEL}=true, so upload and download never start`
  return problem('nodes', '', text, `put the VDDK on a node, then kubectl label node NODE ${VDDK_LABEL}=true`)
}

function isUsable(node: Node): boolean {
  const conditions: { type: string; status: string }[] = node.status?.conditions ?? []
  const ready = conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
  return ready && node.spec?.unschedulable !== true
}

function names(nodes: Node[]): string {
  return nodes
    .map(({ metadata }) => metadata.name)
    .sort()
    .join(', ')
}
