import {
  CanActivate,
  Controller,
  ExecutionContext,
  Injectable,
  PipeTransform,
  Scope,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
} from '@nestjs/common'
import { CallHandler, NestInterceptor } from '@nestjs/common'
import { Ctx, EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices'
import { OncemqContext } from '@oncemq/nestjs/rabbitmq'
import { IsInt, IsString } from 'class-validator'
import { map, Observable } from 'rxjs'

export class Order {
  @IsString()
  id!: string

  @IsInt()
  cents!: number
}

/** What handlers have done, in order. */
@Injectable()
export class Journal {
  readonly lines: string[] = []
}

@Injectable()
export class Doubled implements PipeTransform {
  transform(order: Order): Order {
    return Object.assign(new Order(), order, { cents: order.cents * 2 })
  }
}

@Injectable()
export class OnlyOrders implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getData<Order>().id !== 'forbidden'
  }
}

@Injectable()
export class Wrapped implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((price) => ({ price })))
  }
}

@Controller()
@UsePipes(new ValidationPipe({ transform: true }))
export class OrdersController {
  #failures = 0

  constructor(private readonly journal: Journal) {}

  @EventPattern('order.paid')
  async onPaid(@Payload() order: Order, @Ctx() context: OncemqContext): Promise<void> {
    this.journal.lines.push(`paid ${order.id} ${order instanceof Order} ${context.run.key}`)
  }

  @MessagePattern('price')
  @UseInterceptors(Wrapped)
  price(@Payload(Doubled) order: Order): number {
    this.journal.lines.push(`priced ${order.id}`)
    return order.cents
  }

  @MessagePattern('flaky')
  flaky(@Payload() order: Order): string {
    this.#failures += 1
    if (this.#failures < 2) throw new RpcException('not yet')
    return `${order.id} after ${this.#failures}`
  }

  @MessagePattern('broken')
  broken(): never {
    this.journal.lines.push('broken')
    throw new RpcException({ code: 'OUT_OF_STOCK' })
  }

  @MessagePattern('guarded')
  @UseGuards(OnlyOrders)
  guarded(): string {
    return 'let in'
  }
}

let made = 0

@Controller({ scope: Scope.REQUEST })
export class ScopedController {
  readonly #number = (made += 1)

  @MessagePattern('which')
  which(): number {
    return this.#number
  }
}
