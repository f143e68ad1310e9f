// Names of the ESXi hosts that a vCenter manages, as it would pass them to VDDK. vSphere Web Services API: ContainerView,
// PropertyCollector.RetrievePropertiesEx. Both managers have the same id at every vCenter.

import type { Clock } from '#shared/kernel/clock.ts'
import type { VCenter } from '#shared/providers/vsphere/config.ts'
import { errorOf } from '#shared/providers/vsphere/faults.ts'
import { Session } from '#shared/providers/vsphere/session.ts'
import { type Moref, morefElement, morefOf, VIM } from '#shared/providers/vsphere/soap.ts'
import { childOf, element, listOf, textOf, type XmlObject, type XmlValue } from '#shared/providers/vsphere/xml.ts'

const VIEW_MANAGER: Moref = { type: 'ViewManager', id: 'ViewManager' }
const PROPERTY_COLLECTOR: Moref = { type: 'PropertyCollector', id: 'propertyCollector' }

export async function listEsxiHosts(vcenter: VCenter, clock: Clock): Promise<string[]> {
  const session = new Session(vcenter, clock)
  try {
    const { content } = await session.identity()
    const view = await viewOfHosts(session, content.rootFolder)
    return (await hostNames(session, view)).sort()
  } catch (error) {
    throw errorOf(error, vcenter.host, 'list the ESXi hosts')
  } finally {
    await session.close()
  }
}

/** The view is removed when the session ends. */
async function viewOfHosts(session: Session, rootFolder: Moref): Promise<Moref> {
  const { response } = await session.call({
    service: VIM,
    method: 'CreateContainerView',
    on: VIEW_MANAGER,
    parameters: [
      morefElement('container', rootFolder),
      element('type', {}, 'HostSystem'),
      element('recursive', {}, 'true'),
    ],
    repeatable: true,
  })
  const view = morefOf(response, 'returnval')
  if (view === undefined) throw new Error(`vCenter answers CreateContainerView without a view`)
  return view
}

async function hostNames(session: Session, view: Moref): Promise<string[]> {
  const names: string[] = []
  let { response } = await session.call({
    service: VIM,
    method: 'RetrievePropertiesEx',
    on: PROPERTY_COLLECTOR,
    parameters: [hostsInView(view), element('options', {})],
    repeatable: true,
  })
  for (;;) {
    const page = childOf(response, 'returnval')
    names.push(...listOf(page, 'objects').flatMap(nameOf))
    const token = textOf(page, 'token')
    if (token === undefined) return names
    const parameters = [element('token', {}, token)]
    const method = 'ContinueRetrievePropertiesEx'
    response = (await session.call({ service: VIM, method, on: PROPERTY_COLLECTOR, parameters, repeatable: false }))
      .response
  }
}

function hostsInView(view: Moref) {
  const traversal = element(
    'selectSet',
    { 'xsi:type': 'TraversalSpec' },
    element('type', {}, view.type),
    element('path', {}, 'view'),
    element('skip', {}, 'false'),
  )
  return element(
    'specSet',
    {},
    element('propSet', {}, element('type', {}, 'HostSystem'), element('pathSet', {}, 'name')),
    element('objectSet', {}, morefElement('obj', view), element('skip', {}, 'true'), traversal),
  )
}

function nameOf(object: XmlValue): string[] {
  const values = listOf(object as XmlObject, 'propSet').map((property) => textOf(property, 'val'))
  return values.filter((value) => value !== undefined)
}
