import type { World } from './world.ts'

export const title = 'everything ends'

export default async function (world: World): Promise<void> {
  await world.stage.end()
}
