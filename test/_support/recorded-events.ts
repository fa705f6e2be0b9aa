import type { Events } from '../../src/service/events.ts'

export type Told = { [K in keyof Events]: { readonly event: K; readonly args: Parameters<Events[K]> } }[keyof Events]

/** Events that remember what they were told. */
export function recordedEvents(): Events & { readonly told: Told[] } {
  const told: Told[] = []
  const tell = new Proxy({ told } as unknown as Events & { told: Told[] }, {
    get: (target, name) =>
      name === 'told' ? target.told : (...args: unknown[]) => void told.push({ event: name, args } as unknown as Told),
  })
  return tell
}
