import {
  Body,
  Controller,
  Get,
  Headers,
  Injectable,
  Param,
  ParseIntPipe,
  Post,
  UseGuards,
} from '@nestjs/common'
import { CanActivate, ExecutionContext } from '@nestjs/common'
import { HealthCheck, HealthCheckService } from '@nestjs/terminus'
import { Deduplicated, OncemqHealthIndicator, runContext } from '@oncemq/nestjs'

@Injectable()
class Signed implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return (
      context.switchToHttp().getRequest<{ headers: Record<string, string> }>().headers['signature'] === 'good'
    )
  }
}

/** Until when the handlers of slow events wait. */
export const gate: { open: () => void; opened: Promise<void> } = {
  open: () => undefined,
  opened: Promise.resolve(),
}

export abstract class Webhooks {
  calls = 0

  @Post(':shop')
  @UseGuards(Signed)
  @Deduplicated({ key: (_shop: number, id: string) => id, result: true })
  async onEvent(
    @Param('shop', ParseIntPipe) shop: number,
    @Headers('event-id') id: string,
    @Body() event: { slow?: boolean },
  ): Promise<object> {
    if (event.slow) await gate.opened
    this.calls += 1
    return { shop: typeof shop, id, calls: this.calls, key: runContext().key }
  }
}

@Controller('cards')
export class CardsController extends Webhooks {}

@Controller('transfers')
export class TransfersController extends Webhooks {}

@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly oncemq: OncemqHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.oncemq.isHealthy()])
  }
}
